// worker.mjs [PORT]: works on the queue `sums` until SIGTERM.

import { setTimeout as sleep } from 'node:timers/promises'
import { createClient, ErrorReply } from 'redis'

const QUEUE = 'sums'
const REFUSED = /^(NOTASK|STALE|CANCELED|NOTCLAIMED)/ // the task is not ours any more: nothing is wrong
// A failover, or a server that takes no writes now.
const AGAIN = /^(UNBLOCKED|TRYAGAIN|NOREPLICAS|MISCONF|CLUSTERDOWN|READONLY|LOADING|MASTERDOWN|BUSY)/

// What is under way when a connection breaks fails; what is said meanwhile waits for the next connection. A connection that waits
// takes no other commands, so heartbeats have their own. One that is silent for 10 seconds (BLOCK is 1) is closed, and made again.
const socket = { port: Number(process.argv[2] ?? 6379), reconnectStrategy: 1000, socketTimeout: 10_000 }
const claims = createClient({ socket })
const answers = createClient({ socket, pingInterval: 3000 }) // else it would be silent between heartbeats
for (const r of [claims, answers]) {
  r.on('error', error => console.error(error.message))
  await r.connect()
}

const stopping = new AbortController()

// Says a command until it is answered. null: nothing to do, or the task is not ours any more.
async function ask(r, ...command) {
  for (;;) {
    try {
      return await r.sendCommand(command.map(String))
    } catch (error) {
      console.error(command[0], error.message)
      if (REFUSED.test(error.message)) return null
      if (error instanceof ErrorReply && !AGAIN.test(error.message)) throw error // a mistake of ours
      if (stopping.signal.aborted && command[0] === 'TASK.CLAIM') return null
      await sleep(1000)
      if (!(error instanceof ErrorReply)) continue
      r.destroy() // the address may lead to a new master by now
      await r.connect()
    }
  }
}

// The work: here a sum of squares, made slow. It gives up when the signal says so.
async function work(payload, signal) {
  if (!/^\d+$/.test(payload)) throw new Error(`no number: ${payload}`)
  let total = 0
  for (let n = 1; n <= Number(payload); n++) {
    await sleep(50, undefined, { signal })
    total += n * n
  }
  return total
}

async function run([id, payload, attempt, leaseMs]) {
  const lost = new AbortController()
  const heartbeat = setInterval(() => {
    // One that gets no answer is not said again: the next one is.
    answers.sendCommand(['TASK.EXTEND', QUEUE, id, 'ATTEMPT', String(attempt)]).catch(error => {
      if (REFUSED.test(error.message)) lost.abort()
    })
  }, leaseMs / 3)
  let answer
  try {
    answer = ['TASK.COMPLETE', QUEUE, id, await work(payload, AbortSignal.any([lost.signal, stopping.signal]))]
  } catch (error) {
    if (lost.signal.aborted) answer = null
    else if (stopping.signal.aborted) answer = ['TASK.RELEASE', QUEUE, id]
    else answer = ['TASK.FAIL', QUEUE, id, String(error)] // tried again after its backoff
  }
  clearInterval(heartbeat)
  if (answer) await ask(answers, ...answer, 'ATTEMPT', attempt) // said again after a lost connection: safe
}

for (const name of ['SIGTERM', 'SIGINT']) process.on(name, () => stopping.abort())
while (!stopping.signal.aborted) {
  const task = await ask(claims, 'TASK.CLAIM', QUEUE, 'WORKER', 'node-redis', 'BLOCK', 1000)
  if (task) await run(task)
}
claims.destroy()
answers.destroy()

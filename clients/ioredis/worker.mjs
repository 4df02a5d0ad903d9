// worker.mjs [PORT]: works on the queue `sums` until SIGTERM.

import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'

const QUEUE = 'sums'
const REFUSED = /^(NOTASK|STALE|CANCELED|NOTCLAIMED)/ // the task is not ours any more: nothing is wrong
// A failover, or a server that takes no writes now.
const AGAIN = /^(UNBLOCKED|TRYAGAIN|NOREPLICAS|MISCONF|CLUSTERDOWN|READONLY|LOADING|MASTERDOWN|BUSY)/

// A CLAIM whose reply was lost must not be said again in silence, so commands under way fail when their connection breaks.
// A connection that waits takes no other commands, so heartbeats have their own. Silent for 10 seconds (BLOCK is 1), it is closed.
const options = { port: process.argv[2] ?? 6379, maxRetriesPerRequest: 0, socketTimeout: 10_000 }
const claims = new Redis(options)
const answers = new Redis({ ...options, socketTimeout: undefined, commandTimeout: 10_000 })
for (const r of [claims, answers]) r.on('error', error => console.error(error.message))

const stopping = new AbortController()

// Says a command until it is answered. null: nothing to do, or the task is not ours any more.
async function ask(r, ...command) {
  for (;;) {
    try {
      return await r.call(...command)
    } catch (error) {
      console.error(command[0], error.message)
      if (REFUSED.test(error.message)) return null
      if (error.name === 'ReplyError' && !AGAIN.test(error.message)) throw error // a mistake of ours
      if (stopping.signal.aborted && command[0] === 'TASK.CLAIM') return null
      await sleep(1000)
      if (error.name === 'ReplyError') r.disconnect(true) // the address may lead to a new master by now
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
    answers.call('TASK.EXTEND', QUEUE, id, 'ATTEMPT', attempt).catch(error => {
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
  const task = await ask(claims, 'TASK.CLAIM', QUEUE, 'WORKER', 'ioredis', 'BLOCK', 1000)
  if (task) await run(task)
}
claims.disconnect()
answers.disconnect()

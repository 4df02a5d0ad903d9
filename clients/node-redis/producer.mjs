// producer.mjs [PORT [RUN [NUMBER ...]]]: pushes tasks to the queue `sums`, and prints their results as they come.

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient, ErrorReply } from 'redis'

const QUEUE = 'sums'
// A failover, or a server that takes no writes now.
const AGAIN = /^(UNBLOCKED|TRYAGAIN|NOREPLICAS|MISCONF|CLUSTERDOWN|READONLY|LOADING|MASTERDOWN|BUSY)/

const [port = 6379, run = randomUUID(), ...given] = process.argv.slice(2)
const numbers = given.length ? given : Array.from({ length: 10 }, (_, n) => n + 1)

// A connection that is silent for 10 seconds is closed, and made again.
const r = createClient({ socket: { port: Number(port), socketTimeout: 10_000, reconnectStrategy: 1000 } })
r.on('error', error => console.error(error.message))
await r.connect()

// Says a command until it is answered. Each of ours may be said twice: the pushes have IDs, COLLECT only reads.
async function ask(...command) {
  for (;;) {
    try {
      return await r.sendCommand(command.map(String))
    } catch (error) {
      if (error instanceof ErrorReply && !AGAIN.test(error.message)) throw error
      await sleep(1000)
      if (!(error instanceof ErrorReply)) continue
      r.destroy() // the address may lead to a new master by now
      await r.connect()
    }
  }
}

for (const number of numbers) {
  await ask('TASK.PUSH', QUEUE, number, 'ID', `${run}:${number}`, 'BATCH', run, 'ATTEMPTS', 3, 'BACKOFF', 200)
}
await ask('TASK.SEAL', QUEUE, run)

let cursor = '0', remaining = -1, completed = 0
while (remaining !== 0) {
  let ends
  ;[cursor, remaining, ends] = await ask('TASK.COLLECT', QUEUE, run, cursor, 'BLOCK', 1000)
  for (const [id, state, data] of ends) {
    console.log(id, state, data)
    if (state === 'completed') completed++
  }
}
await r.close()
process.exitCode = completed === numbers.length ? 0 : 1

// main.ts [PORT]: a queue with types, from the push to the results. `tsc --strict` checks it.

import assert from 'node:assert/strict'
import { Redis } from 'ioredis'
import { Lost, Queue } from './task-queue.js'

interface Job {
  readonly n: number
}

function job(data: unknown): Job {
  assert(typeof data === 'object' && data !== null && 'n' in data && typeof data.n === 'number')
  return { n: data.n }
}

const redis = new Redis({ port: Number(process.argv[2] ?? 6379) })
const squares = new Queue(redis, 'squares', job, Number)

function work(n: number): number {
  if (n < 0) throw new RangeError('negative')
  return n * n
}

for (let n = 1; n <= 5; n++) await squares.push({ n }, { batch: 'some' })
await squares.seal('some')
const wrong = await squares.push({ n: -1 }, { attempts: 1, priority: 5 })
for (let task; (task = await squares.claim('typed', 100)); ) {
  await squares.extend(task)
  try {
    await squares.complete(task, work(task.payload.n))
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    await squares.fail(task, error.message)
  }
}

const results: number[] = []
for await (const outcome of squares.collect('some')) if (outcome.state === 'completed') results.push(outcome.result)
console.log(results.join(' '))
const outcome = await squares.outcome(wrong)
if (outcome?.state === 'failed') console.log(outcome.state, outcome.error)

const id = await squares.push({ n: 7 })
const first = await squares.claim('typed')
assert(first?.id === id)
await squares.extend(first, 'half')
await squares.release(first)
const second = await squares.claim('typed')
assert(second?.attempt === 2)
await redis.call('TASK.CANCEL', 'squares', id)
await assert.rejects(squares.complete(second, 49), Lost)
console.log(`lost true, ${second.checkpoint} done, ${second.leaseMs} ms`)
squares.close()
redis.disconnect()

/** What the types do not let pass; nobody calls it. */
export async function mistakes(): Promise<void> {
  // @ts-expect-error: a number is no job
  await squares.push(7)
  // @ts-expect-error: there is no such option
  await squares.push({ n: 7 }, { colour: 'red' })
  // @ts-expect-error: the result is a number
  await squares.complete(second!, '49')
}

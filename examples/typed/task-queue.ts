// A queue with types, over ioredis: a file to copy. Payloads are P and results R, sent as JSON.
//
//     const squares = new Queue(new Redis(), 'squares', job, Number)
//
// How a worker lives through failovers and ends on SIGTERM is its own: docs/clients/ioredis.md has one.

import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'

export type State = 'waiting' | 'scheduled' | 'ready' | 'claimed' | 'completed' | 'failed' | 'canceled' | 'expired'

type Numbers = 'priority' | 'delay' | 'ttl' | 'attempts' | 'backoff' | 'lease' | 'timeout' | 'retain'
type Names = 'id' | 'batch' | 'group' | 'unique'
/** Options of TASK.PUSH; durations in milliseconds. */
export type Options = { [option in Numbers]?: number } & { [option in Names]?: string }

/** A claim. */
export interface Task<P> {
  readonly id: string
  readonly payload: P
  readonly attempt: number
  readonly leaseMs: number
  readonly checkpoint: string | null
}

/** What became of a task. */
export type Outcome<R> =
  | { readonly id: string; readonly state: 'completed'; readonly result: R }
  | { readonly id: string; readonly state: 'failed'; readonly error: string }
  | { readonly id: string; readonly state: Exclude<State, 'completed' | 'failed'> }

/** The task is not ours any more: it was canceled, or another worker has it. Nothing is wrong. */
export class Lost extends Error {}

export class Queue<P, R> {
  readonly #claiming: Redis

  /** `payload` and `result` make what was sent of what JSON has of it, and throw if it is something else. */
  constructor(
    readonly redis: Redis,
    readonly name: string,
    readonly payload: (data: unknown) => P,
    readonly result: (data: unknown) => R,
  ) {
    // While a CLAIM waits nothing else gets through its connection; and it is not said again by itself.
    this.#claiming = redis.duplicate({ maxRetriesPerRequest: 0, lazyConnect: true })
    this.#claiming.on('error', () => {}) // the command under way says it too
  }

  /** The task's id. It always has one of ours, so the client may say the push again by itself. */
  async push(payload: P, options: Options = {}): Promise<string> {
    const words = Object.entries({ id: randomUUID(), ...options }).flat() as (string | number)[]
    return (await this.#say(this.redis, 'PUSH', JSON.stringify(payload), ...words)) as string
  }

  /** No more tasks will come to the batch; answers how many there are. */
  async seal(batch: string): Promise<number> {
    return (await this.#say(this.redis, 'SEAL', batch)) as number
  }

  /** A task, or null. A payload that cannot be read fails for good. */
  async claim(worker: string, blockMs = 1000): Promise<Task<P> | null> {
    const claimed = await this.#say(this.#claiming, 'CLAIM', 'WORKER', worker, 'BLOCK', blockMs)
    if (claimed === null) return null
    const [id, payload, attempt, leaseMs, checkpoint] = claimed as [string, string, number, number, string | null]
    try {
      return { id, payload: this.payload(JSON.parse(payload)), attempt, leaseMs, checkpoint }
    } catch (error) {
      await this.#say(this.redis, 'FAIL', id, `the payload: ${String(error)}`, 'ATTEMPT', attempt, 'DEAD')
      return null
    }
  }

  /** The heartbeat: say it each third of leaseMs. */
  async extend(task: Task<P>, checkpoint?: string): Promise<void> {
    const kept = checkpoint === undefined ? [] : ['CHECKPOINT', checkpoint]
    await this.#say(this.redis, 'EXTEND', task.id, 'ATTEMPT', task.attempt, ...kept)
  }

  async complete(task: Task<P>, result: R): Promise<void> {
    await this.#say(this.redis, 'COMPLETE', task.id, JSON.stringify(result), 'ATTEMPT', task.attempt)
  }

  async fail(task: Task<P>, error: string): Promise<State> {
    return (await this.#say(this.redis, 'FAIL', task.id, error, 'ATTEMPT', task.attempt)) as State
  }

  async release(task: Task<P>): Promise<void> {
    await this.#say(this.redis, 'RELEASE', task.id, 'ATTEMPT', task.attempt)
  }

  /** What has become of a task; null if there is no such task. */
  async outcome(id: string): Promise<Outcome<R> | null> {
    const reply = await this.#say(this.redis, 'RESULT', id)
    return reply === null ? null : this.#outcome(id, ...(reply as [State, string | null]))
  }

  /** The outcomes of a batch as its tasks end, until it is sealed and all have. */
  async *collect(batch: string): AsyncGenerator<Outcome<R>> {
    const waiting = this.redis.duplicate()
    try {
      for (let cursor = '0', remaining = -1; remaining !== 0; ) {
        const page = await this.#say(waiting, 'COLLECT', batch, cursor, 'BLOCK', 1000)
        let ends: [string, State, string | null][]
        ;[cursor, remaining, ends] = page as [string, number, typeof ends]
        for (const end of ends) yield this.#outcome(...end)
      }
    } finally {
      waiting.disconnect()
    }
  }

  close(): void {
    this.#claiming.disconnect()
  }

  #outcome(id: string, state: State, data: string | null): Outcome<R> {
    if (state === 'completed') return { id, state, result: this.result(JSON.parse(data ?? 'null')) }
    return state === 'failed' ? { id, state, error: data ?? '' } : { id, state }
  }

  async #say(redis: Redis, command: string, ...words: (string | number)[]): Promise<unknown> {
    try {
      return await redis.call(`TASK.${command}`, this.name, ...words)
    } catch (error) {
      if (error instanceof Error && /^(NOTASK|STALE|CANCELED|NOTCLAIMED)/.test(error.message)) throw new Lost(error.message)
      throw error
    }
  }
}

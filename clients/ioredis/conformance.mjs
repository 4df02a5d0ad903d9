// conformance.mjs PORT [CLUSTER-PORT]: the checks of clients/README.md with ioredis.

import assert from 'node:assert/strict'
import { Redis, Cluster } from 'ioredis'

const [port, clusterPort] = process.argv.slice(2).map(Number)
const options = { port, host: '127.0.0.1', protocol: 2 }
const r = new Redis(options)

function ok(check, ...pairs) {
  for (const [got, expected] of pairs) assert.deepEqual(got, expected, `FAILED ${check}`)
  console.log('ok', check)
}
const t = (...command) => r.call(...command)
const bytes = (...command) => r.callBuffer(...command)
// The first word of the error that a command is refused with.
const code = (...command) => t(...command).then(reply => reply, error => error.message.split(' ')[0])

await r.flushall()

// push: options, an ID said twice, nil for NX
ok('push',
  [await t('TASK.PUSH', 'q', 'low', 'ID', 'a'), 'a'],
  [await t('TASK.PUSH', 'q', 'high', 'ID', 'b', 'PRIORITY', 5, 'ATTEMPTS', 2, 'BACKOFF', 50, 'LEASE', 7000), 'b'],
  [await t('TASK.PUSH', 'q', 'low', 'ID', 'a'), 'a'],
  [await t('TASK.PUSH', 'q', 'low', 'ID', 'a', 'NX'), null])
// claim: strings, integers and nil; nil for an empty queue
ok('claim',
  [await t('TASK.CLAIM', 'q', 'WORKER', 'w'), ['b', 'high', 1, 7000, null]],
  [await t('TASK.CLAIM', 'q', 'COUNT', 9), [['a', 'low', 1, 30000, null]]],
  [await t('TASK.CLAIM', 'q'), null])
// block: nil at the timeout; a task as soon as it is due
const began = performance.now()
const nothing = await t('TASK.CLAIM', 'q', 'BLOCK', 200)
const waited = performance.now() - began
await t('TASK.PUSH', 'q', 'later', 'ID', 'c', 'DELAY', 200)
ok('block', [nothing, null], [waited > 150 && waited < 5000, true], [(await t('TASK.CLAIM', 'q', 'BLOCK', 5000))[0], 'c'])
// next: completes and claims in one command; again answers the same
await t('TASK.PUSH', 'q', 'n', 'ID', 'd')
ok('next',
  [await t('TASK.COMPLETE', 'q', 'c', 'done', 'ATTEMPT', 1, 'NEXT', 'BLOCK', 1000), ['d', 'n', 1, 30000, null]],
  [await t('TASK.COMPLETE', 'q', 'c', 'again', 'ATTEMPT', 1), 'OK'],
  [await t('TASK.COMPLETE', 'q', 'd', 'done', 'ATTEMPT', 1, 'NEXT', 'BLOCK', 100), null],
  [await t('TASK.RESULT', 'q', 'c', 'BLOCK', 1000), ['completed', 'done']])
// fail: again after the backoff, then failed
ok('fail',
  [await t('TASK.FAIL', 'q', 'b', 'oops', 'ATTEMPT', 1), 'scheduled'],
  [(await t('TASK.CLAIM', 'q', 'BLOCK', 5000)).slice(0, 3), ['b', 'high', 2]],
  [await t('TASK.FAIL', 'q', 'b', 'oh no', 'ATTEMPT', 2), 'failed'],
  [await t('TASK.RESULT', 'q', 'b'), ['failed', 'oh no']],
  [await t('TASK.RETRY', 'q', 'b'), 1])
// release: back at no cost
ok('release',
  [(await t('TASK.CLAIM', 'q'))[2], 3],
  [await t('TASK.RELEASE', 'q', 'b', 'ATTEMPT', 3), 'OK'],
  [(await t('TASK.CLAIM', 'q')).slice(0, 3), ['b', 'high', 4]])
// extend: a heartbeat, and a checkpoint for the next attempt
ok('extend',
  [await t('TASK.EXTEND', 'q', 'b', 'ATTEMPT', 4, 'CHECKPOINT', 'half'), 'OK'],
  [await t('TASK.RELEASE', 'q', 'b', 'ATTEMPT', 4), 'OK'],
  [await t('TASK.CLAIM', 'q'), ['b', 'high', 5, 7000, 'half']])
// errors: their first word
await t('SET', 'text', 'x')
ok('errors',
  [await code('TASK.COMPLETE', 'q', 'b', 'x', 'ATTEMPT', 4), 'STALE'],
  [await code('TASK.COMPLETE', 'q', 'nobody', 'x'), 'NOTASK'],
  [await code('TASK.EXTEND', 'q', 'c', 'ATTEMPT', 1), 'NOTCLAIMED'],
  [await code('TASK.PUSH', 'text', 'x'), 'WRONGTYPE'],
  [await code('TASK.PUSH', 'q', 'x', 'COLOR', 'red'), 'ERR'],
  [await t('TASK.CANCEL', 'q', 'b'), 1],
  [await code('TASK.COMPLETE', 'q', 'b', 'x', 'ATTEMPT', 5), 'CANCELED'])
// array-errors: one error in an array, the rest is there
const both = await t('TASK.MCOMPLETE', 'q', 2, 'a', 1, 'done', 'b', 5, 'done')
ok('array-errors', [both[0], 'OK'], [both[1] instanceof Error, true], [both[1].message.split(' ')[0], 'CANCELED'])
// gather: ends in the order asked, nil for one that is not there
ok('gather', [await t('TASK.GATHER', 'q', 3, 'c', 'b', 'x', 'BLOCK', 100), [['c', 'completed', 'done'], ['b', 'canceled', null], ['x', null, null]]])
// collect: page by page, with a cursor, until nothing remains
for (let n = 0; n < 3; n++) {
  await t('TASK.PUSH', 'm', n, 'ID', `m${n}`, 'BATCH', 'maps')
  await t('TASK.COMPLETE', 'm', (await t('TASK.CLAIM', 'm'))[0], n * n, 'ATTEMPT', 1)
}
const [cursor, unsealed, first] = await t('TASK.COLLECT', 'm', 'maps', 0, 'COUNT', 2)
const sealed = await t('TASK.SEAL', 'm', 'maps')
const [, remaining, second] = await t('TASK.COLLECT', 'm', 'maps', cursor, 'BLOCK', 1000)
ok('collect', [unsealed, -1], [sealed, 3], [remaining, 0],
  [[...first, ...second], [['m0', 'completed', '0'], ['m1', 'completed', '1'], ['m2', 'completed', '4']]])
// binary: every byte, nothing, and a megabyte
const every = Buffer.from([...Array(256).keys(), 13, 10])
for (const [id, data] of [['x', every], ['y', Buffer.alloc(0)], ['z', Buffer.alloc(every.length * 4096, every)]]) {
  await t('TASK.PUSH', 'bin', data, 'ID', id)
  const claimed = await bytes('TASK.CLAIM', 'bin')
  await t('TASK.COMPLETE', 'bin', id, data, 'ATTEMPT', 1)
  assert(claimed[1].equals(data) && (await bytes('TASK.RESULT', 'bin', id))[1].equals(data), 'FAILED binary')
}
ok('binary')
// info: a map, flat in RESP2
const flat = await t('TASK.INFO', 'm')
ok('info', [flat[flat.indexOf('completed') + 1], 3])
// session: a claim that ends with its connection
await t('TASK.PUSH', 's', 'x', 'ID', 's')
const worker = new Redis(options)
await worker.call('TASK.CLAIM', 's', 'SESSION')
worker.disconnect()
ok('session', [(await t('TASK.CLAIM', 's', 'BLOCK', 5000)).slice(0, 3), ['s', 'x', 2]])
// reconnect: the connection is cut, the COMPLETE is said again
const own = await t('CLIENT', 'ID')
const other = new Redis(options)
await t('TASK.COMPLETE', 's', 's', 'done', 'ATTEMPT', 2)
await other.call('CLIENT', 'KILL', 'ID', own)
ok('reconnect', [await t('TASK.COMPLETE', 's', 's', 'done', 'ATTEMPT', 2), 'OK'], [(await t('CLIENT', 'ID')) !== own, true])
other.disconnect()
// pipeline: many pushes in one round trip
const pipe = r.pipeline()
for (let n = 0; n < 100; n++) pipe.call('TASK.PUSH', 'p', n, 'ID', `p${n}`)
ok('pipeline', [await pipe.exec(), Array.from({ length: 100 }, (_, n) => [null, `p${n}`])], [(await t('TASK.CLAIM', 'p', 'COUNT', 1000)).length, 100])
// resp3: a map is a map, nil is nil, an error in an array is there
const three = new Redis({ ...options, protocol: 3, replyMapping: 'resp3' })
const mixed = await three.call('TASK.MCOMPLETE', 'p', 2, 'p0', 1, 'x', 'p1', 9, 'x')
ok('resp3',
  [(await three.call('TASK.INFO', 'm')).completed, 3],
  [await three.call('TASK.CLAIM', 'm'), null],
  [await three.call('TASK.RESULT', 'q', 'b'), ['canceled', null]],
  [[mixed[0], mixed[1].message.split(' ')[0]], ['OK', 'STALE']])
three.disconnect()
// cluster: queues on all nodes, the keys of MCLAIM behind a number
if (!clusterPort) console.log('skip cluster: no cluster was started')
else {
  const c = new Cluster([{ host: '127.0.0.1', port: clusterPort }])
  for (let n = 0; n < 8; n++) {
    const queue = `queue:${n}`
    const got = [
      await c.call('TASK.PUSH', queue, 'x', 'ID', 'i'),
      await c.call('TASK.MCLAIM', 1, queue, 'BLOCK', 100),
      await c.call('TASK.COMPLETE', queue, 'i', 'y', 'ATTEMPT', 1),
      await c.call('TASK.RESULT', queue, 'i')]
    assert.deepEqual(got, ['i', [queue, ['i', 'x', 1, 30000, null]], 'OK', ['completed', 'y']], 'FAILED cluster')
  }
  ok('cluster')
  c.disconnect()
}
r.disconnect()

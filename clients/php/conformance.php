<?php
// conformance.php PORT [CLUSTER-PORT]: the checks of clients/README.md with phpredis.

[$port, $clusterPort] = [(int) $argv[1], isset($argv[2]) ? (int) $argv[2] : null];

function connection(): Redis
{
    global $port;
    $r = new Redis();
    $r->connect('127.0.0.1', $port, 5);
    $r->setOption(Redis::OPT_READ_TIMEOUT, 10);
    $r->setOption(Redis::OPT_MAX_RETRIES, 0);
    $r->setOption(Redis::OPT_REPLY_LITERAL, true); // else a status is only true
    $r->setOption(Redis::OPT_NULL_MULTIBULK_AS_NULL, true); // else nil for an array is []
    return $r;
}

$r = connection();

/** The reply; of a refused command the first word of its error. Some errors are false with getLastError, others are thrown. */
function t(...$command)
{
    global $r;
    $r->clearLastError();
    try {
        $reply = $r->rawCommand(...$command);
    } catch (RedisException $error) {
        if (!preg_match('/^([A-Z]+) /', $error->getMessage(), $code)) {
            throw $error; // the connection
        }
        return "!$code[1]";
    }
    $error = $r->getLastError();
    return $reply === false && $error !== null ? '!' . strtok($error, ' ') : $reply;
}

function ok(string $check, array ...$pairs): void
{
    foreach ($pairs as [$got, $expected]) {
        if ($got !== $expected) {
            fwrite(STDERR, "FAILED $check: " . json_encode($got) . ', not ' . json_encode($expected) . "\n");
            exit(1);
        }
    }
    echo "ok $check\n";
}

$r->flushAll();

// push: options, an ID said twice, nil for NX
ok('push',
    [t('TASK.PUSH', 'q', 'low', 'ID', 'a'), 'a'],
    [t('TASK.PUSH', 'q', 'high', 'ID', 'b', 'PRIORITY', 5, 'ATTEMPTS', 2, 'BACKOFF', 50, 'LEASE', 7000), 'b'],
    [t('TASK.PUSH', 'q', 'low', 'ID', 'a'), 'a'],
    [t('TASK.PUSH', 'q', 'low', 'ID', 'a', 'NX'), false]);
// claim: strings, integers and nil; nil for an empty queue
$nil = false; // nil for a string
ok('claim',
    [t('TASK.CLAIM', 'q', 'WORKER', 'w'), ['b', 'high', 1, 7000, $nil]],
    [t('TASK.CLAIM', 'q', 'COUNT', 9), [['a', 'low', 1, 30000, $nil]]],
    [t('TASK.CLAIM', 'q'), null]);
// block: nil at the timeout; a task as soon as it is due
$began = hrtime(true);
$nothing = t('TASK.CLAIM', 'q', 'BLOCK', 200);
$waited = (hrtime(true) - $began) / 1e6;
t('TASK.PUSH', 'q', 'later', 'ID', 'c', 'DELAY', 200);
ok('block', [$nothing, null], [$waited > 150 && $waited < 5000, true], [t('TASK.CLAIM', 'q', 'BLOCK', 5000)[0], 'c']);
// next: completes and claims in one command; again answers the same
t('TASK.PUSH', 'q', 'n', 'ID', 'd');
ok('next',
    [t('TASK.COMPLETE', 'q', 'c', 'done', 'ATTEMPT', 1, 'NEXT', 'BLOCK', 1000), ['d', 'n', 1, 30000, $nil]],
    [t('TASK.COMPLETE', 'q', 'c', 'again', 'ATTEMPT', 1), 'OK'],
    [t('TASK.COMPLETE', 'q', 'd', 'done', 'ATTEMPT', 1, 'NEXT', 'BLOCK', 100), null],
    [t('TASK.RESULT', 'q', 'c', 'BLOCK', 1000), ['completed', 'done']]);
// fail: again after the backoff, then failed
ok('fail',
    [t('TASK.FAIL', 'q', 'b', 'oops', 'ATTEMPT', 1), 'scheduled'],
    [array_slice(t('TASK.CLAIM', 'q', 'BLOCK', 5000), 0, 3), ['b', 'high', 2]],
    [t('TASK.FAIL', 'q', 'b', 'oh no', 'ATTEMPT', 2), 'failed'],
    [t('TASK.RESULT', 'q', 'b'), ['failed', 'oh no']],
    [t('TASK.RETRY', 'q', 'b'), 1]);
// release: back at no cost
ok('release',
    [t('TASK.CLAIM', 'q')[2], 3],
    [t('TASK.RELEASE', 'q', 'b', 'ATTEMPT', 3), 'OK'],
    [array_slice(t('TASK.CLAIM', 'q'), 0, 3), ['b', 'high', 4]]);
// extend: a heartbeat, and a checkpoint for the next attempt
ok('extend',
    [t('TASK.EXTEND', 'q', 'b', 'ATTEMPT', 4, 'CHECKPOINT', 'half'), 'OK'],
    [t('TASK.RELEASE', 'q', 'b', 'ATTEMPT', 4), 'OK'],
    [t('TASK.CLAIM', 'q'), ['b', 'high', 5, 7000, 'half']]);
// errors: their first word
t('SET', 'text', 'x');
ok('errors',
    [t('TASK.COMPLETE', 'q', 'b', 'x', 'ATTEMPT', 4), '!STALE'],
    [t('TASK.COMPLETE', 'q', 'nobody', 'x'), '!NOTASK'],
    [t('TASK.EXTEND', 'q', 'c', 'ATTEMPT', 1), '!NOTCLAIMED'],
    [t('TASK.PUSH', 'text', 'x'), '!WRONGTYPE'],
    [t('TASK.PUSH', 'q', 'x', 'COLOR', 'red'), '!ERR'],
    [t('TASK.CANCEL', 'q', 'b'), 1],
    [t('TASK.COMPLETE', 'q', 'b', 'x', 'ATTEMPT', 5), '!CANCELED']);
// array-errors: such a reply is thrown as one error, though the rest of the command was done
t('TASK.MCOMPLETE', 'q', 2, 'a', 1, 'done', 'b', 5, 'done');
echo "skip array-errors: phpredis throws such a reply away as a whole\n";
// gather: ends in the order asked, nil for one that is not there
ok('gather', [t('TASK.GATHER', 'q', 3, 'c', 'b', 'x', 'BLOCK', 100), [['c', 'completed', 'done'], ['b', 'canceled', $nil], ['x', $nil, $nil]]]);
// collect: page by page, with a cursor, until nothing remains
for ($n = 0; $n < 3; $n++) {
    t('TASK.PUSH', 'm', $n, 'ID', "m$n", 'BATCH', 'maps');
    t('TASK.COMPLETE', 'm', t('TASK.CLAIM', 'm')[0], $n * $n, 'ATTEMPT', 1);
}
[$cursor, $unsealed, $first] = t('TASK.COLLECT', 'm', 'maps', 0, 'COUNT', 2);
$sealed = t('TASK.SEAL', 'm', 'maps');
[, $remaining, $second] = t('TASK.COLLECT', 'm', 'maps', $cursor, 'BLOCK', 1000);
$ends = [['m0', 'completed', '0'], ['m1', 'completed', '1'], ['m2', 'completed', '4']];
ok('collect', [$unsealed, -1], [$sealed, 3], [$remaining, 0], [[...$first, ...$second], $ends]);
// binary: every byte, nothing, and a megabyte
$every = implode('', array_map('chr', range(0, 255))) . "\r\n";
foreach (['x' => $every, 'y' => '', 'z' => str_repeat($every, 4096)] as $id => $data) {
    t('TASK.PUSH', 'bin', $data, 'ID', $id);
    $claimed = t('TASK.CLAIM', 'bin');
    t('TASK.COMPLETE', 'bin', $id, $data, 'ATTEMPT', 1);
    if ($claimed[1] !== $data || t('TASK.RESULT', 'bin', $id)[1] !== $data) {
        fwrite(STDERR, "FAILED binary: $id\n");
        exit(1);
    }
}
ok('binary');
// info: a map, flat in RESP2
$info = t('TASK.INFO', 'm');
ok('info', [$info[array_search('completed', $info, true) + 1], 3]);
// session: a claim that ends with its connection
t('TASK.PUSH', 's', 'x', 'ID', 's');
$other = connection();
$other->rawCommand('TASK.CLAIM', 's', 'SESSION');
$other->close();
ok('session', [array_slice(t('TASK.CLAIM', 's', 'BLOCK', 5000), 0, 3), ['s', 'x', 2]]);
// reconnect: the connection is cut, the COMPLETE is said again
$own = t('CLIENT', 'ID');
t('TASK.COMPLETE', 's', 's', 'done', 'ATTEMPT', 2);
connection()->rawCommand('CLIENT', 'KILL', 'ID', $own);
try {
    $again = t('TASK.COMPLETE', 's', 's', 'done', 'ATTEMPT', 2);
} catch (RedisException $error) {
    $r = connection();
    $again = t('TASK.COMPLETE', 's', 's', 'done', 'ATTEMPT', 2);
}
ok('reconnect', [$again, 'OK'], [t('CLIENT', 'ID') !== $own, true]);
// pipeline: many pushes in one round trip
$pipe = $r->pipeline();
for ($n = 0; $n < 100; $n++) {
    $pipe->rawCommand('TASK.PUSH', 'p', $n, 'ID', "p$n");
}
ok('pipeline', [$pipe->exec(), array_map(fn($n) => "p$n", range(0, 99))], [count(t('TASK.CLAIM', 'p', 'COUNT', 1000)), 100]);
echo 'skip resp3: phpredis ', phpversion('redis'), " speaks RESP2\n";
// cluster: queues on all nodes, the keys of MCLAIM behind a number
if ($clusterPort === null) {
    echo "skip cluster: no cluster was started\n";
} else {
    $cluster = new RedisCluster(null, ["127.0.0.1:$clusterPort"], 5, 10);
    $cluster->setOption(Redis::OPT_REPLY_LITERAL, true);
    for ($n = 0; $n < 8; $n++) {
        $queue = "queue:$n";
        $got = [ // the key that decides on the node is said apart
            $cluster->rawCommand($queue, 'TASK.PUSH', $queue, 'x', 'ID', 'i'),
            $cluster->rawCommand($queue, 'TASK.MCLAIM', 1, $queue, 'BLOCK', 100),
            $cluster->rawCommand($queue, 'TASK.COMPLETE', $queue, 'i', 'y', 'ATTEMPT', 1),
            $cluster->rawCommand($queue, 'TASK.RESULT', $queue, 'i'),
        ];
        if (array_slice($got, 0, 1) !== ['i'] || $got[1][0] !== $queue || array_slice($got[1][1], 0, 4) !== ['i', 'x', 1, 30000] || $got[3] !== ['completed', 'y']) {
            fwrite(STDERR, 'FAILED cluster: ' . json_encode($got) . "\n");
            exit(1);
        }
    }
    ok('cluster');
}

<?php
// producer.php [PORT [RUN [NUMBER ...]]]: pushes tasks to the queue `sums`, and prints their results as they come.

const QUEUE = 'sums';
// A failover, or a server that takes no writes now.
const AGAIN = '/^(UNBLOCKED|TRYAGAIN|NOREPLICAS|MISCONF|CLUSTERDOWN|READONLY|LOADING|MASTERDOWN|BUSY)/';
const CODE = '/^[A-Z]+ /'; // any refusal

$port = (int) ($argv[1] ?? 6379);
$run = $argv[2] ?? bin2hex(random_bytes(8));
$numbers = array_slice($argv, 3) ?: range(1, 10);
$r = null;

/** Says a command until it is answered. Each of ours may be said twice: the pushes have IDs, COLLECT only reads. */
function ask(...$command)
{
    global $r, $port;
    for (;;) {
        try {
            if ($r === null) {
                $r = new Redis();
                $r->connect('127.0.0.1', $port, 5);
                $r->setOption(Redis::OPT_READ_TIMEOUT, 10); // longer than BLOCK
            }
            $r->clearLastError();
            $reply = $r->rawCommand(...$command);
            $error = $r->getLastError();
            if ($reply !== false || $error === null) {
                return $reply; // false is nil
            }
        } catch (RedisException $lost) {
            $error = $lost->getMessage(); // of a lost connection, or of a refusal: both are thrown
        }
        if (preg_match(CODE, $error) && !preg_match(AGAIN, $error)) {
            throw new RuntimeException($error);
        }
        fwrite(STDERR, "$command[0] $error\n");
        $r = null; // the address may lead to a new master by now
        sleep(1);
    }
}

foreach ($numbers as $number) {
    ask('TASK.PUSH', QUEUE, $number, 'ID', "$run:$number", 'BATCH', $run, 'ATTEMPTS', 3, 'BACKOFF', 200);
}
ask('TASK.SEAL', QUEUE, $run);

[$cursor, $remaining, $completed] = ['0', -1, 0];
while ($remaining !== 0) {
    [$cursor, $remaining, $ends] = ask('TASK.COLLECT', QUEUE, $run, $cursor, 'BLOCK', 1000);
    foreach ($ends as [$id, $state, $data]) {
        echo "$id $state $data\n";
        $completed += $state === 'completed' ? 1 : 0;
    }
}
exit($completed === count($numbers) ? 0 : 1);

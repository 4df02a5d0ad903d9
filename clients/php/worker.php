<?php
// worker.php [PORT]: works on the queue `sums` until SIGTERM.

const QUEUE = 'sums';
const REFUSED = '/^(NOTASK|STALE|CANCELED|NOTCLAIMED)/'; // the task is not ours any more: nothing is wrong
// A failover, or a server that takes no writes now.
const AGAIN = '/^(UNBLOCKED|TRYAGAIN|NOREPLICAS|MISCONF|CLUSTERDOWN|READONLY|LOADING|MASTERDOWN|BUSY)/';
const CODE = '/^[A-Z]+ /'; // any refusal

class Stopping extends Exception {} // we are to end, and give the task back
class Lost extends Exception {} // the task was canceled, or another worker has it

$port = (int) ($argv[1] ?? 6379);
$r = null;
$stopping = false;
pcntl_async_signals(true);
foreach ([SIGTERM, SIGINT] as $signal) {
    pcntl_signal($signal, function () use (&$stopping) { $stopping = true; });
}

/** Says a command until it is answered. null: nothing to do, or the task is not ours any more. */
function ask(...$command)
{
    global $r, $port, $stopping;
    for (;;) {
        try {
            if ($r === null) {
                $r = new Redis();
                $r->connect('127.0.0.1', $port, 5);
                $r->setOption(Redis::OPT_READ_TIMEOUT, 10); // longer than BLOCK
                $r->setOption(Redis::OPT_MAX_RETRIES, 0); // retries are ours
                $r->setOption(Redis::OPT_NULL_MULTIBULK_AS_NULL, true); // else nothing to do is []
            }
            $r->clearLastError();
            $reply = $r->rawCommand(...$command);
            $error = $r->getLastError();
            if ($reply !== false || $error === null) {
                return $reply;
            }
        } catch (RedisException $lost) {
            $error = $lost->getMessage(); // of a lost connection, or of a refusal: both are thrown
        }
        if (preg_match(REFUSED, $error)) {
            return null;
        }
        if (preg_match(CODE, $error) && !preg_match(AGAIN, $error)) {
            throw new RuntimeException($error); // a mistake of ours
        }
        fwrite(STDERR, "$command[0] $error\n");
        $r = null; // the address may lead to a new master by now
        if ($stopping && $command[0] === 'TASK.CLAIM') {
            return null;
        }
        sleep(1);
    }
}

/** The work: here a sum of squares, made slow. It calls $alive often. */
function work(string $payload, callable $alive): int
{
    if (!ctype_digit($payload)) {
        throw new InvalidArgumentException("no number: $payload");
    }
    $total = 0;
    for ($n = 1; $n <= (int) $payload; $n++) {
        $alive();
        usleep(50000);
        $total += $n * $n;
    }
    return $total;
}

while (!$stopping) {
    $task = ask('TASK.CLAIM', QUEUE, 'WORKER', 'php', 'BLOCK', 1000);
    if ($task === null) {
        continue;
    }
    [$id, $payload, $attempt, $leaseMs] = $task;
    $beaten = hrtime(true);
    $alive = function () use (&$beaten, &$stopping, $id, $attempt, $leaseMs) {
        if ($stopping) {
            throw new Stopping();
        }
        if (hrtime(true) - $beaten > $leaseMs * 1e6 / 3) { // the heartbeat
            $beaten = hrtime(true);
            ask('TASK.EXTEND', QUEUE, $id, 'ATTEMPT', $attempt) ?? throw new Lost();
        }
    };
    try {
        $answer = ['TASK.COMPLETE', QUEUE, $id, work($payload, $alive)];
    } catch (Stopping) {
        $answer = ['TASK.RELEASE', QUEUE, $id];
    } catch (Lost) {
        continue;
    } catch (Exception $error) {
        $answer = ['TASK.FAIL', QUEUE, $id, $error->getMessage()]; // tried again after its backoff
    }
    ask(...[...$answer, 'ATTEMPT', $attempt]); // said again after a lost connection: safe
}

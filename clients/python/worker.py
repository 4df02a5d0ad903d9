"""worker.py [PORT]: works on the queue `sums` until SIGTERM."""

import signal
import sys
import time

import redis
from redis.backoff import NoBackoff
from redis.exceptions import ClusterDownError, TryAgainError
from redis.retry import Retry

QUEUE = "sums"
REFUSED = "NOTASK", "STALE", "CANCELED", "NOTCLAIMED"  # the task is not ours any more: nothing is wrong
# A failover, or a server that takes no writes now. redis-py makes classes of some codes, and takes those out of the text.
LATER = redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError, TryAgainError, ClusterDownError
AGAIN = "UNBLOCKED", "NOREPLICAS", "MISCONF", "BUSY"

# The client says a command again by itself: COMPLETE, FAIL and RELEASE with ATTEMPT allow it, and so does EXTEND. A CLAIM whose
# reply was lost is better not said again in silence, so retries are ours. The read timeout is longer than BLOCK.
r = redis.Redis(
    port=int(sys.argv[1]) if len(sys.argv) > 1 else 6379,
    socket_timeout=10,
    socket_keepalive=True,
    retry=Retry(NoBackoff(), 0),
)
stopping = False


class Stopping(Exception):
    """We are to end, and give the task back."""


class Lost(Exception):
    """The task was canceled, or another worker has it."""


def stop(*_):
    global stopping
    stopping = True


def ask(*command):
    """Says a command until it is answered. None: nothing to do, or the task is not ours any more."""
    while True:
        try:
            return r.execute_command(*command)
        except redis.AuthenticationError:
            raise  # a wrong password, for redis-py a kind of ConnectionError
        except LATER as error:
            print(command[0], error, file=sys.stderr)
            if stopping and command[0] == "TASK.CLAIM":
                return None
        except redis.ResponseError as error:
            if str(error).startswith(REFUSED):
                return None
            if not str(error).startswith(AGAIN):
                raise  # a mistake of ours
        time.sleep(1)
        r.connection_pool.disconnect()  # the address may lead to a new master by now


def work(payload, alive):
    """The work: here a sum of squares, made slow. It calls `alive` often."""
    total = 0
    for n in range(1, int(payload) + 1):
        alive()
        time.sleep(0.05)
        total += n * n
    return total


def do(id, payload, attempt, lease_ms):
    beaten = time.monotonic()

    def alive():
        """The heartbeat, a third of the lease after the last one. Says also when to stop."""
        nonlocal beaten
        if stopping:
            raise Stopping
        if time.monotonic() - beaten > lease_ms / 3000:
            beaten = time.monotonic()
            if ask("TASK.EXTEND", QUEUE, id, "ATTEMPT", attempt) is None:
                raise Lost

    try:
        return "TASK.COMPLETE", QUEUE, id, work(payload, alive)
    except Stopping:
        return "TASK.RELEASE", QUEUE, id
    except Lost:
        return None
    except Exception as error:
        return "TASK.FAIL", QUEUE, id, repr(error)  # tried again after its backoff


signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
while not stopping:
    task = ask("TASK.CLAIM", QUEUE, "WORKER", "python", "BLOCK", 1000)
    if task is not None:
        id, payload, attempt, lease_ms = task[:4]
        answer = do(id, payload, attempt, lease_ms)
        if answer is not None:
            ask(*answer, "ATTEMPT", attempt)  # said again after a lost connection: safe

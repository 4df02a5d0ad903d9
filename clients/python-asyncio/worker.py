"""worker.py [PORT]: works on the queue `sums` until SIGTERM, on several tasks at once."""

import asyncio
import signal
import sys

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ClusterDownError, TryAgainError

QUEUE = "sums"
AT_ONCE = 2
REFUSED = "NOTASK", "STALE", "CANCELED", "NOTCLAIMED"  # the task is not ours any more: nothing is wrong
# A failover, or a server that takes no writes now. redis-py makes classes of some codes, and takes those out of the text.
LATER = redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError, TryAgainError, ClusterDownError
AGAIN = "UNBLOCKED", "NOREPLICAS", "MISCONF", "BUSY"

# A CLAIM whose reply was lost is better not said again in silence, so retries are ours. The read timeout is longer than BLOCK.
# The pool has a connection for each task and for its heartbeat.
r = redis.Redis(
    port=int(sys.argv[1]) if len(sys.argv) > 1 else 6379,
    socket_timeout=10,
    socket_keepalive=True,
    retry=Retry(NoBackoff(), 0),
)
stopping = asyncio.Event()


async def ask(*command):
    """Says a command until it is answered. None: nothing to do, or the task is not ours any more."""
    while True:
        try:
            return await r.execute_command(*command)
        except redis.AuthenticationError:
            raise  # a wrong password, for redis-py a kind of ConnectionError
        except LATER as error:
            print(command[0], error, file=sys.stderr)
            if stopping.is_set() and command[0] == "TASK.CLAIM":
                return None
        except redis.ResponseError as error:
            if str(error).startswith(REFUSED):
                return None
            if not str(error).startswith(AGAIN):
                raise  # a mistake of ours
        await asyncio.sleep(1)


async def work(payload):
    """The work: here a sum of squares, made slow."""
    total = 0
    for n in range(1, int(payload) + 1):
        await asyncio.sleep(0.05)
        total += n * n
    return total


async def heartbeat(id, attempt, lease_ms):
    """Ends when the task is not ours any more."""
    while True:
        await asyncio.sleep(lease_ms / 3000)
        if await ask("TASK.EXTEND", QUEUE, id, "ATTEMPT", attempt) is None:
            return


async def do(id, payload, attempt, lease_ms):
    """Works until the first of these: it is done, the task is lost, or we are to stop."""
    working = asyncio.create_task(work(payload))
    lost = asyncio.create_task(heartbeat(id, attempt, lease_ms))
    stop = asyncio.create_task(stopping.wait())
    await asyncio.wait([working, lost, stop], return_when=asyncio.FIRST_COMPLETED)
    if working.done() and working.exception() is None:
        answer = "TASK.COMPLETE", QUEUE, id, working.result()
    elif working.done():
        answer = "TASK.FAIL", QUEUE, id, repr(working.exception())  # tried again after its backoff
    elif lost.done():
        answer = None
    else:
        answer = "TASK.RELEASE", QUEUE, id
    for task in working, lost, stop:
        task.cancel()
    await asyncio.wait([working, lost, stop])  # the work has really ended before another worker has the task
    return answer


async def loop(name):
    while not stopping.is_set():
        task = await ask("TASK.CLAIM", QUEUE, "WORKER", name, "BLOCK", 1000)
        if task is not None:
            id, payload, attempt, lease_ms = task[:4]
            answer = await do(id, payload, attempt, lease_ms)
            if answer is not None:
                await ask(*answer, "ATTEMPT", attempt)  # said again after a lost connection: safe


async def main():
    for number in signal.SIGTERM, signal.SIGINT:
        # Never cancel a CLAIM that waits: its reply may hold a task. It comes back within BLOCK.
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await asyncio.gather(*(loop(f"asyncio-{n}") for n in range(AT_ONCE)))
    await r.aclose()


asyncio.run(main())

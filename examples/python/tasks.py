"""Shares work out to several processes and collects the results.

The classical recipe is LPUSH by the producer, BRPOP by the workers, and HSET of each result. There
a task is gone when a worker dies after BRPOP, and the producer has to poll. With the module:

    producer   TASK.PUSH queue payload             -> the task's id
    worker     TASK.CLAIM queue BLOCK 1000         -> id, payload, attempt; comes back if we die
               TASK.COMPLETE queue id result ATTEMPT n       or TASK.FAIL queue id error ATTEMPT n
    producer   TASK.RESULT queue id BLOCK 1000     -> state and result, as soon as there is one

    pip install -r requirements.txt
    python tasks.py [--port 6379] [--workers 4] [NUMBER ...]
"""

import argparse
import multiprocessing
import sys
import time
import uuid

import redis
from redis.exceptions import ClusterDownError, TryAgainError

QUEUE = "primes"
NOT_OURS = "STALE", "CANCELED", "NOTCLAIMED", "NOTASK"
# A failover, or a server that takes no writes now. redis-py makes classes of some codes (LOADING and MASTERDOWN are among these).
LATER = redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError, TryAgainError, ClusterDownError
AGAIN = "UNBLOCKED", "NOREPLICAS", "MISCONF", "BUSY"


def compute(payload):
    """The work: how many primes there are below a number."""
    limit = int(payload)
    sieve = bytearray([1]) * limit
    for n in range(2, int(limit**0.5) + 1):
        if sieve[n]:
            sieve[n * n :: n] = bytes(len(range(n * n, limit, n)))
    return sum(sieve[2:])


def ask(r, *command):
    """Says a command until it is answered, over restarts and failovers too. None if the task is not ours any more."""
    while True:
        try:
            return r.execute_command(*command)
        except redis.AuthenticationError:
            raise  # a wrong password, for redis-py a kind of ConnectionError
        except LATER as error:
            print(f"{command[0]}: {error}", file=sys.stderr)
        except redis.ResponseError as error:
            if str(error).startswith(NOT_OURS):
                return None
            if not str(error).startswith(AGAIN):
                raise
            print(f"{command[0]}: {error}", file=sys.stderr)
        time.sleep(1)
        r.connection_pool.disconnect()  # the address may lead to a new master by now


def worker(name, port, stop):
    r = redis.Redis(port=port, decode_responses=True)
    while not stop.is_set():
        task = ask(r, "TASK.CLAIM", QUEUE, "WORKER", name, "BLOCK", 1000)
        if task is None:
            continue  # nothing to do for a second
        id, payload, attempt = task[:3]
        try:
            answer = "TASK.COMPLETE", QUEUE, id, compute(payload)
        except Exception as error:  # tried again after a while, up to ATTEMPTS times
            answer = "TASK.FAIL", QUEUE, id, f"{type(error).__name__}: {error}"
        # ATTEMPT is the fence: if we were too slow and another worker has the task by now, we are
        # refused, and its result is the one that counts. Work of more than 30 seconds says TASK.EXTEND
        # now and then, or is pushed with a longer LEASE.
        ask(r, *answer, "ATTEMPT", attempt)


def result(r, id, workers):
    """Waits until the task is done, one way or another: its state, and its result or error."""
    while any(process.is_alive() for process in workers):
        answer = ask(r, "TASK.RESULT", QUEUE, id, "BLOCK", 1000)
        state, data = answer[:2] if answer else ("forgotten", None)
        if state in ("completed", "failed", "canceled", "expired", "forgotten"):
            return state, data
    sys.exit("all workers have died")


def main():
    parser = argparse.ArgumentParser(description="Counts primes in several processes.")
    parser.add_argument("--port", type=int, default=6379)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("numbers", nargs="*", default=range(100_000, 2_100_000, 100_000))
    options = parser.parse_args()
    r = redis.Redis(port=options.port, decode_responses=True)

    # The client says a command again when its connection breaks: with an ID of our own, a push said
    # twice is still one task.
    tasks = {}
    for number in options.numbers:
        push = "TASK.PUSH", QUEUE, number, "ID", uuid.uuid4().hex
        tasks[r.execute_command(*push, "ATTEMPTS", 2, "BACKOFF", 100)] = number

    stop = multiprocessing.Event()
    workers = [
        multiprocessing.Process(target=worker, args=(f"worker-{n}", options.port, stop))
        for n in range(1, options.workers + 1)
    ]
    for process in workers:
        process.start()
    try:
        results = {id: result(r, id, workers) for id in tasks}
    finally:
        stop.set()
        for process in workers:
            process.join()

    for id, (state, data) in results.items():
        print(f"{id}  {tasks[id]:>9}  {state}: {data}")
    done = sum(state == "completed" for state, _ in results.values())
    print(f"{done} of {len(tasks)} tasks completed")
    return 0 if done == len(tasks) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except redis.RedisError as error:
        sys.exit(f"{error}\nIs there a server with the module? `make run` starts one.")

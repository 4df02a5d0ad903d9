"""Moves money between accounts, each transfer exactly once, with workers that die and repeat themselves.

A task may be worked on twice: a worker can die after its work and before it says so. Where the work
is a change of the same server, one script does both, and completes first:

    redis.call('TASK.COMPLETE', queue, id, result, 'ATTEMPT', attempt)     -- refused: raises, ends the script
    redis.call('HINCRBY', accounts, ...)                                   -- so this happens once

Queue and accounts share the hash tag {bank}: in a cluster they are in one slot.

    pip install -r requirements.txt
    python money.py [--port 6379] [--workers 4] [--transfers 2000] [--careless]

--careless writes first and completes afterwards, as two commands: see what becomes of the money.
"""

import argparse
import json
import multiprocessing
import random
import signal
import sys
import time

import redis
from redis.exceptions import ClusterDownError, TryAgainError

QUEUE, ACCOUNTS = "{bank}:transfers", "{bank}:accounts"
NAMES = "ada", "bob", "cleo", "dan", "eve"

WRITES = """
redis.call('HINCRBY', KEYS[2], ARGV[3], -ARGV[5])
redis.call('HINCRBY', KEYS[2], ARGV[4], ARGV[5])
"""
COMPLETE = "redis.call('TASK.COMPLETE', KEYS[1], ARGV[1], 'moved', 'ATTEMPT', ARGV[2])"


# DONE: we have said it before. The others: another worker has the task by now, or it was canceled or is gone.
NOT_OURS = "DONE", "STALE", "CANCELED", "NOTCLAIMED", "NOTASK"
# A failover, or a server that takes no writes now. redis-py makes classes of some codes (LOADING and MASTERDOWN are among these).
LATER = redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError, TryAgainError, ClusterDownError
AGAIN = "UNBLOCKED", "NOREPLICAS", "MISCONF", "BUSY"


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


def worker(port, careless):
    r = redis.Redis(port=port, decode_responses=True)
    while True:
        # A short lease, so that the tasks of the dead come back soon.
        task = ask(r, "TASK.CLAIM", QUEUE, "BLOCK", 1000, "LEASE", 200)
        if task is None:
            continue
        id, payload, attempt = task[:3]
        time.sleep(random.uniform(0, 0.002))  # the work
        for script in (WRITES, COMPLETE) if careless else (COMPLETE + WRITES,):
            while True:
                ask(r, "EVAL", script, 2, QUEUE, ACCOUNTS, id, attempt, *payload.split())
                if random.random() < 0.8:
                    break  # else as if no answer had come: say it again


def start(options):
    process = multiprocessing.Process(target=worker, args=(options.port, options.careless), daemon=True)
    process.start()
    return process


def main():
    parser = argparse.ArgumentParser(description="Moves money with workers that are killed.")
    parser.add_argument("--port", type=int, default=6379)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--transfers", type=int, default=2000)
    parser.add_argument("--careless", action="store_true")
    options = parser.parse_args()
    r = redis.Redis(port=options.port, decode_responses=True)
    r.delete(QUEUE, ACCOUNTS)

    expected = dict.fromkeys(NAMES, 1000)
    r.hset(ACCOUNTS, mapping=expected)
    for number in range(options.transfers):
        source, target = random.sample(NAMES, 2)
        amount = random.randint(1, 100)
        expected[source] -= amount
        expected[target] += amount
        r.execute_command("TASK.PUSH", QUEUE, f"{source} {target} {amount}", "ID", number, "ATTEMPTS", 0)

    workers = [start(options) for _ in range(options.workers)]
    killed = 0
    while json.loads(r.execute_command("TASK.INFO", QUEUE, "JSON"))["completed"] < options.transfers:
        time.sleep(0.05)
        victim = random.randrange(options.workers)
        workers[victim].kill()  # kill -9, wherever it is
        workers[victim].join()
        if workers[victim].exitcode != -signal.SIGKILL:
            sys.exit("a worker has ended by itself")
        killed += 1
        workers[victim] = start(options)
    for process in workers:
        process.kill()

    balances = {name: int(amount) for name, amount in r.hgetall(ACCOUNTS).items()}
    for name in NAMES:
        print(f"{name:<5} {balances[name]:>8}  expected {expected[name]:>8}")
    print(f"{options.transfers} transfers, {killed} workers killed with kill -9")
    print("each transfer once:", "yes" if balances == expected else "no")
    return 0 if balances == expected else 1


if __name__ == "__main__":
    sys.exit(main())

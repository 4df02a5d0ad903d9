"""producer.py [PORT [RUN [NUMBER ...]]]: pushes tasks to the queue `sums`, and prints their results as they come."""

import sys
import time
import uuid

import redis
from redis.exceptions import ClusterDownError, TryAgainError

QUEUE = "sums"
# A failover, or a server that takes no writes now. redis-py makes classes of some codes, and takes those out of the text.
LATER = redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError, TryAgainError, ClusterDownError
AGAIN = "UNBLOCKED", "NOREPLICAS", "MISCONF", "BUSY"

port, run, *numbers = sys.argv[1:] + [6379, uuid.uuid4().hex, *range(1, 11)][len(sys.argv) - 1 :]
r = redis.Redis(port=int(port), socket_timeout=10, decode_responses=True)


def ask(*command):
    """Says a command until it is answered. Each of ours may be said twice: the pushes have IDs, COLLECT only reads."""
    while True:
        try:
            return r.execute_command(*command)
        except redis.AuthenticationError:
            raise  # a wrong password, for redis-py a kind of ConnectionError
        except LATER as error:
            print(command[0], error, file=sys.stderr)
        except redis.ResponseError as error:
            if not str(error).startswith(AGAIN):
                raise
        time.sleep(1)
        r.connection_pool.disconnect()


for number in numbers:
    ask("TASK.PUSH", QUEUE, number, "ID", f"{run}:{number}", "BATCH", run, "ATTEMPTS", 3, "BACKOFF", 200)
ask("TASK.SEAL", QUEUE, run)

cursor, remaining, completed = "0", -1, 0
while remaining != 0:
    cursor, remaining, ends = ask("TASK.COLLECT", QUEUE, run, cursor, "BLOCK", 1000)
    for id, state, data in ends:
        print(id, state, data, flush=True)
        completed += state == "completed"
sys.exit(completed != len(numbers))

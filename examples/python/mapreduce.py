"""Counts the words of many files in several processes, by map-reduce, and survives the death of one of them.

    scatter    TASK.PUSH queue files ID map-1 BATCH maps                   one task for some files, and so on
               TASK.SEAL queue maps                                        no more will come
               TASK.PUSH queue part ID reduce-0 AFTERBATCH maps ...        waits, in the server, until all maps are completed
    map        TASK.CLAIM ... SESSION; TASK.COMPLETE queue map-1 counts    comes back at once if the worker dies
    reduce     TASK.COLLECT queue maps cursor                              one part of the words, out of each map's result
    gather     TASK.COLLECT queue maps cursor BLOCK 1000                   results as they come: a progress bar

    pip install -r requirements.txt
    python mapreduce.py [--port 6379] [--workers 4] [FILE ...]             default: the sources of Python's own library
"""

import argparse
import json
import multiprocessing
import os
import re
import signal
import sys
import time
import uuid
import zlib
from collections import Counter
from pathlib import Path

import redis
from redis.exceptions import ClusterDownError, TryAgainError

QUEUE = "words"
PARTS = 4  # as many tasks reduce, each its part of the words
FILES = 10  # that one task counts
NOT_OURS = "STALE", "CANCELED", "NOTCLAIMED", "NOTASK"
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


def collect(r, batch):
    """The results of a batch as its tasks end, in whatever order: (result, how many are still to come)."""
    cursor, remaining = "0", None
    while remaining != 0:
        page = ask(r, "TASK.COLLECT", QUEUE, batch, cursor, "BLOCK", 1000)
        if page is None:
            raise RuntimeError(f"the batch {batch} is gone, or a failover lost results that we had")
        cursor, remaining, ends = page  # with the cursor we go on after a lost connection, or a restart
        for n, (id, state, data) in enumerate(ends, 1):
            if state != "completed":
                raise RuntimeError(f"{id} is {state}: {data}")
            yield json.loads(data), remaining + len(ends) - n


def library():
    """A text that each machine with Python has."""
    top = Path(os.__file__).parent
    return sorted(str(path) for path in top.rglob("*.py") if "site-packages" not in path.parts)


def count(files):
    words = Counter()
    for file in files:
        words.update(re.findall(r"[^\W\d_]+", Path(file).read_text(errors="replace").lower()))
    return words


def map_files(files):
    """The result has a section for each part of the words."""
    parts = [{} for _ in range(PARTS)]
    for word, n in count(files).items():
        parts[zlib.crc32(word.encode()) % PARTS][word] = n  # the same in each process, as hash() is not
    return parts


def reduce_part(r, maps, part):
    """The results of the maps are there: this task waited for them, and they are kept until it has ended."""
    words = Counter()
    for parts, _ in collect(r, maps):
        words.update(parts[part])
    return words


def worker(port):
    # SESSION: a claim lasts as long as the connection, without heartbeats, so that must be the worker's own.
    r = redis.Redis(port=port, decode_responses=True)
    asking = redis.Redis(port=port, decode_responses=True)
    while True:
        task = ask(r, "TASK.CLAIM", QUEUE, "SESSION", "BLOCK", 1000)
        if task is None:
            continue
        id, payload, attempt = task[:3]
        job = json.loads(payload)
        if job.get("dies") and attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)  # whoever has this task first dies in the middle of it
        try:
            result = map_files(job["files"]) if "files" in job else reduce_part(asking, job["maps"], job["part"])
            answer = "TASK.COMPLETE", QUEUE, id, json.dumps(result)
        except Exception as error:  # tried again after a while, up to ATTEMPTS times
            answer = "TASK.FAIL", QUEUE, id, f"{type(error).__name__}: {error}"
        ask(r, *answer, "ATTEMPT", attempt)


def scatter(r, files, run):
    """Pushes all tasks at once. Those that reduce wait for those that map. The ids are ours: a push said twice adds nothing."""
    maps, reduces = f"maps-{run}", f"reduces-{run}"
    some = [files[n : n + FILES] for n in range(0, len(files), FILES)]
    for n, files in enumerate(some):
        job = {"files": files, "dies": n == len(some) // 2}
        ask(r, "TASK.PUSH", QUEUE, json.dumps(job), "ID", f"{maps}:{n}", "BATCH", maps)
    total = ask(r, "TASK.SEAL", QUEUE, maps)
    for part in range(PARTS):
        job = json.dumps({"maps": maps, "part": part})
        ask(r, "TASK.PUSH", QUEUE, job, "ID", f"{reduces}:{part}", "BATCH", reduces, "AFTERBATCH", maps)
    ask(r, "TASK.SEAL", QUEUE, reduces)
    return maps, reduces, total


def main():
    parser = argparse.ArgumentParser(description="Counts words by map-reduce.")
    parser.add_argument("--port", type=int, default=6379)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("files", nargs="*", default=library())
    options = parser.parse_args()
    r = redis.Redis(port=options.port, decode_responses=True)

    workers = [multiprocessing.Process(target=worker, args=(options.port,), daemon=True) for _ in range(options.workers)]
    for process in workers:
        process.start()
    maps, reduces, total = scatter(r, options.files, uuid.uuid4().hex[:8])

    words = 0
    for parts, remaining in collect(r, maps):
        words += sum(sum(part.values()) for part in parts)
        if sys.stdout.isatty():
            bar = "#" * (40 * (total - remaining) // total)
            print(f"\r{bar:.<40} {total - remaining} of {total} maps, {words} words", end="", flush=True)
    print(f"\n{total} maps and {PARTS} reduces with {options.workers} workers")
    shared = {word: n for part, _ in collect(r, reduces) for word, n in part.items()}
    dead = sum(not process.is_alive() for process in workers)
    for process in workers:
        process.kill()
    for batch in reduces, maps:
        ask(r, "TASK.FORGET", QUEUE, "BATCH", batch)  # else they are kept for an hour

    alone = count(options.files)
    for word, n in alone.most_common(5):
        print(f"{word:<8} {shared.get(word):>9}  one process {n:>9}")
    print(f"{alone.total()} words, {len(alone)} distinct; {dead} worker died in the middle")
    print("identical:", "yes" if shared == alone else "no")
    return 0 if shared == alone else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except redis.RedisError as error:
        sys.exit(f"{error}\nIs there a server with the module? `make run` starts one.")

"""A worker to run for real: gives each task of a queue to a command, and answers what that prints.

    payload      the command's standard input
    exit code 0  TASK.COMPLETE with its standard output
    another      TASK.FAIL with the end of its standard error; tried again after the backoff, up to ATTEMPTS times

A result that the server refuses, as it is too long, and a command that cannot be run are TASK.FAIL, too, with the reason.

The command may take as long as it likes: the lease is extended meanwhile. If the task was canceled, or timed out, or another
worker has it by now, the command is killed. On SIGTERM the worker claims no more, and ends when its task is done.

    pip install -r requirements.txt
    python worker.py [--port 6379 | --url redis://...] [--lease 30000] QUEUE COMMAND [ARGUMENT ...]
    python worker.py --sentinel HOST:PORT,HOST:PORT --master NAME [--url redis://user:password@] QUEUE COMMAND [ARGUMENT ...]

The URL can also be given as REDIS_URL in the environment, where other users of the machine do not see its password. With Sentinel
its user and password are taken, and Sentinel's address of the master. The command finds the task's id and attempt as TASK_ID and
TASK_ATTEMPT in its environment, and no REDIS_URL. ../deploy/task-worker@.service runs workers with systemd.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.exceptions import ClusterDownError, TryAgainError
from redis.retry import Retry
from redis.sentinel import Sentinel

NOT_OURS = "STALE", "CANCELED", "NOTCLAIMED", "NOTASK"
# A failover, or a server that takes no writes now. redis-py makes classes of some codes (LOADING and MASTERDOWN are among these).
LATER = redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError, TryAgainError, ClusterDownError
AGAIN = "UNBLOCKED", "NOREPLICAS", "MISCONF", "BUSY"
LOST = object()
stop = []


def ask(r, *command):
    """Says a command until it is answered, over restarts and failovers too. LOST if the task is not ours any more."""
    while True:
        try:
            return r.execute_command(*command)
        except redis.AuthenticationError:
            raise  # a wrong password, for redis-py a kind of ConnectionError
        except LATER as error:
            print(f"{command[0]}: {error}", file=sys.stderr)
        except redis.ResponseError as error:
            if str(error).startswith(NOT_OURS):
                return LOST
            if not str(error).startswith(AGAIN):
                raise
            print(f"{command[0]}: {error}", file=sys.stderr)
        if stop and command[0] == "TASK.CLAIM":
            return None
        time.sleep(1)
        r.connection_pool.disconnect()  # the address may lead to a new master by now


def connect(options):
    # A CLAIM whose reply was lost is better not said again in silence, so retries are ours. The timeout is longer than BLOCK.
    settings = {"socket_timeout": 10, "socket_keepalive": True, "retry": Retry(NoBackoff(), 0)}
    url = os.environ.pop("REDIS_URL", None)  # nothing that the command should know
    url = options.url or (f"redis://localhost:{options.port}" if options.port else url or "redis://localhost:6379")
    if not options.sentinel:
        return redis.Redis.from_url(url, **settings)
    sentinels = [address.rsplit(":", 1) for address in options.sentinel.split(",")]
    access = {name: value for name, value in parse_url(url).items() if name in ("username", "password", "db")}
    asking = settings | {"socket_timeout": 1}
    return Sentinel(sentinels, sentinel_kwargs=asking).master_for(
        options.master, ssl=url.startswith("rediss:"), **access, **settings
    )


def work(r, options, task):
    """Runs the command for one task, with heartbeats, and answers for it."""
    id, payload, attempt = task[0].decode(), task[1], task[2]
    environment = os.environ | {"TASK_ID": id, "TASK_ATTEMPT": str(attempt)}
    pipe = subprocess.PIPE
    # A session of its own: a signal for the worker is none for the command.
    try:
        process = subprocess.Popen(
            options.command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, start_new_session=True
        )
    except OSError as error:  # it was there at the start
        ask(r, "TASK.FAIL", options.queue, id, str(error), "ATTEMPT", attempt)
        return
    data = payload
    while True:
        try:
            output, errors = process.communicate(data, timeout=options.lease / 3000)
            break
        except subprocess.TimeoutExpired:
            data = None  # communicate goes on with what it was given first
        if ask(r, "TASK.EXTEND", options.queue, id, "ATTEMPT", attempt) is LOST:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            print(f"{id}: not ours any more", file=sys.stderr)
            return
    if process.returncode == 0:
        answer = "TASK.COMPLETE", options.queue, id, output
    else:
        answer = "TASK.FAIL", options.queue, id, f"exit code {process.returncode}: ".encode() + errors[-500:].strip()
    try:
        ask(r, *answer, "ATTEMPT", attempt)
    except redis.ResponseError as error:
        if answer[0] == "TASK.FAIL":
            raise
        ask(r, "TASK.FAIL", options.queue, id, f"TASK.COMPLETE was refused: {error}", "ATTEMPT", attempt)


def main():
    parser = argparse.ArgumentParser(description="Gives each task of a queue to a command.")
    parser.add_argument("--port", type=int, help="6379")
    parser.add_argument("--url", help="instead of --port, as in redis://user:password@host:6379; REDIS_URL of the environment")
    parser.add_argument("--sentinel", help="the addresses of Sentinels, as in host:26379,host:26379")
    parser.add_argument("--master", help="the name of the master that they watch")
    parser.add_argument("--name", default=f"{socket.gethostname()}:{os.getpid()}")
    parser.add_argument("--lease", type=int, default=30_000, help="in milliseconds")
    parser.add_argument("queue")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if not options.command:
        parser.error("which command?")
    if shutil.which(options.command[0]) is None:
        parser.error(f"there is no program {options.command[0]}")
    if bool(options.sentinel) != bool(options.master):
        parser.error("--sentinel and --master belong together")
    r = connect(options)

    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    claim = "TASK.CLAIM", options.queue, "WORKER", options.name, "LEASE", options.lease, "BLOCK", 1000
    while not stop:
        task = ask(r, *claim)
        if task is not None:
            work(r, options, task)


if __name__ == "__main__":
    main()

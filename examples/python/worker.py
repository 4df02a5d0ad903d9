"""A worker to run for real: gives each task of a queue to a command, and answers what that prints.

    payload      the command's standard input
    exit code 0  TASK.COMPLETE with its standard output
    another      TASK.FAIL with the end of its standard error; tried again after the backoff, up to ATTEMPTS times

The command may take as long as it likes: the lease is extended meanwhile. If the task was canceled, or timed out, or another
worker has it by now, the command is killed. On SIGTERM the worker claims no more, and ends when its task is done.

    pip install -r requirements.txt
    python worker.py [--port 6379 | --url redis://...] [--lease 30000] QUEUE COMMAND [ARGUMENT ...]

The command finds the task's id and attempt as TASK_ID and TASK_ATTEMPT in its environment. ../deploy/task-worker@.service
runs workers with systemd.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time

import redis

NOT_OURS = "STALE", "CANCELED", "NOTCLAIMED", "NOTASK"
LOST = object()


def ask(r, *command):
    """Says a command until it is answered, over restarts and failovers too. LOST if the task is not ours any more."""
    while True:
        try:
            return r.execute_command(*command)
        except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError) as error:
            if str(error).startswith(NOT_OURS):
                return LOST
            if type(error) is redis.ResponseError and not str(error).startswith(("UNBLOCKED", "NOREPLICAS", "MISCONF")):
                raise
            print(f"{command[0]}: {error}", file=sys.stderr)
        time.sleep(1)
        r.connection_pool.disconnect()  # the address may lead to a new master by now


def work(r, options, task):
    """Runs the command for one task, with heartbeats, and answers for it."""
    id, payload, attempt = task[0].decode(), task[1], task[2]
    environment = os.environ | {"TASK_ID": id, "TASK_ATTEMPT": str(attempt)}
    pipe = subprocess.PIPE
    # A session of its own: a signal for the worker is none for the command.
    process = subprocess.Popen(
        options.command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, start_new_session=True
    )
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
    ask(r, *answer, "ATTEMPT", attempt)


def main():
    parser = argparse.ArgumentParser(description="Gives each task of a queue to a command.")
    parser.add_argument("--port", type=int, default=6379)
    parser.add_argument("--url", help="instead of --port, as in redis://user:password@host:6379")
    parser.add_argument("--name", default=f"{socket.gethostname()}:{os.getpid()}")
    parser.add_argument("--lease", type=int, default=30_000, help="in milliseconds")
    parser.add_argument("queue")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if not options.command:
        parser.error("which command?")
    r = redis.Redis.from_url(options.url or f"redis://localhost:{options.port}")

    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    claim = "TASK.CLAIM", options.queue, "WORKER", options.name, "LEASE", options.lease, "BLOCK", 1000
    while not stop:
        task = ask(r, *claim)
        if task is not None:
            work(r, options, task)


if __name__ == "__main__":
    main()

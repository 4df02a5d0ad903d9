#!/usr/bin/env python3
"""Counts instructions with callgrind, and fails if they have become more than benches/budget.json allows.

    check.py [--write] [--tolerance SHARE]      --write makes what is counted now the budget; SHARE such as 0.1 overrides the file's

Counted are the operations of the queue alone, beside no other tasks and beside many, and the server's user-mode instructions for
each command, with 100 commands pipelined on one connection. Instructions do not depend on what else the machine does. They depend a
little on hash seeds (the server's, and the module's), on the clock in the ids and on the allocator: hence the tolerance. Budgets
hold for one version of the server.
"""

import collections
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import servers
from servers import ROOT, Server, read_reply, to_bytes

BUDGET = ROOT / "benches/budget.json"
BESIDE = 100_000
COMMANDS = 3_000
# Each command is counted so often, and the least counts: now and then the server resizes its clients' buffers.
REPEATS = 3
PIPELINE = 100
# Counted to compare with.
NOT_OURS = ("PING", "LPUSH", "a command that does nothing")
QUEUE_OPERATIONS = ("push", "claim", "extend", "complete", "fail", "release", "tick")


def inclusive(path):
    """Calls and instructions, callees included, of each function in a file of callgrind's."""
    names, calls, cost = {}, collections.Counter(), collections.Counter()
    callee, pending = None, 0
    for line in open(path):
        if line.startswith(("fn=", "cfn=")):
            number, name = re.match(r"c?fn=(\(\d+\))(?: (.*))?", line).groups()
            names.setdefault(number, name)
            if line.startswith("cfn="):
                callee = names[number]
        elif line.startswith("calls="):
            pending = int(line[6:].split()[0])
        elif pending:
            calls[callee] += pending
            cost[callee] += int(line.split()[1])
            pending = 0
    return calls, cost


def queue():
    """Instructions of each operation of the queue alone."""
    build = ["cargo", "build", "--release", "--package", "taskqueue", "--bench", "instructions", "--message-format", "json"]
    built = subprocess.run(build, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout
    program = next(m["executable"] for m in map(json.loads, built.splitlines()) if m.get("executable"))
    counted = {}
    for beside in (0, BESIDE):
        with tempfile.NamedTemporaryFile() as out:
            command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out.name}", program, str(beside)]
            subprocess.run(command, stderr=subprocess.DEVNULL, check=True)
            calls, cost = inclusive(out.name)
        for operation in QUEUE_OPERATIONS:
            name = f"instructions::Bench::{operation}"
            counted[f"{operation} beside {beside:,}"] = round(cost[name] / calls[name])
    return counted


class Counter:
    """A server under callgrind, and one connection to it."""

    def __init__(self):
        wrap = ["valgrind", "--tool=callgrind", "--callgrind-out-file={dir}/callgrind"]
        # The server's own work by the clock is kept small.
        self.server = Server("module", wrap=wrap, extra=["--hz", "1", "--dynamic-hz", "no"])
        self.socket = servers.socket.create_connection(("127.0.0.1", self.server.port))
        self.stream = self.socket.makefile("rb")
        self.dumps = 0

    def say(self, commands):
        answers = []
        for first in range(0, len(commands), PIPELINE):
            batch = commands[first : first + PIPELINE]
            self.socket.sendall(b"".join(map(encode, batch)))
            answers += [read_reply(self.stream) for _ in batch]
        return answers

    def control(self, *words):
        subprocess.run(["callgrind_control", *words, str(self.server.pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)

    def count(self, commands, tasks=1):
        """The answers, and the instructions for each task."""
        self.control("--zero")
        answers = self.say(commands)
        self.control("--dump")
        self.dumps += 1
        dump = Path(self.server.folder, f"callgrind.{self.dumps}").read_text()
        total = int(re.search(r"^(?:summary|totals): (\d+)", dump, re.MULTILINE).group(1))
        return answers, round(total / len(commands) / tasks)


def encode(words):
    words = [to_bytes(word) for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def server():
    """Instructions of the server for each command."""
    counter, counted = Counter(), {}
    payload, result = "x" * 100, "r" * 32

    def each(name, commands, tasks=1):
        answers, count = counter.count(commands, tasks)
        counted[name] = min(count, counted.get(name, count))
        return answers

    def cycle():
        ids = each("TASK.PUSH", [("TASK.PUSH", "q", payload)] * COMMANDS)
        claims = each("TASK.CLAIM", [("TASK.CLAIM", "q")] * COMMANDS)
        each("TASK.COMPLETE", [("TASK.COMPLETE", "q", claim[0], result) for claim in claims])
        each("TASK.RESULT", [("TASK.RESULT", "q", id) for id in ids])

    def others():
        each("PING", [("PING",)] * COMMANDS)
        each("a command that does nothing", [("TASK.PROBE", "q")] * COMMANDS)
        each("LPUSH", [("LPUSH", "l", payload)] * COMMANDS)

    def batch():
        many = COMMANDS // PIPELINE
        each("TASK.MPUSH of 100, a task", [("TASK.MPUSH", "q", PIPELINE, *[payload] * PIPELINE)] * many, PIPELINE)
        claims = each("TASK.CLAIM COUNT 100, a task", [("TASK.CLAIM", "q", "COUNT", PIPELINE)] * many, PIPELINE)
        done = [[word for claim in batch for word in (claim[0], claim[2], result)] for batch in claims]
        each("TASK.MCOMPLETE of 100, a task", [("TASK.MCOMPLETE", "q", PIPELINE, *words) for words in done], PIPELINE)
        ids = [[claim[0] for claim in batch] for batch in claims]
        each("TASK.GATHER of 100, a task", [("TASK.GATHER", "q", PIPELINE, *of) for of in ids], PIPELINE)

    def published():
        counter.say([("CONFIG", "SET", "task.publish", "yes")])
        each("TASK.PUSH with task.publish", [("TASK.PUSH", "q", payload)] * COMMANDS)
        counter.say([("CONFIG", "SET", "task.publish", "no"), ("DEL", "q")])

    def limited(name, settings, options=lambda number: ()):
        def step():
            queue = "limited"
            counter.say([("TASK.SET", queue, *settings)] if settings else [])
            pushes = [("TASK.PUSH", queue, payload, *options(number)) for number in range(COMMANDS)]
            each(f"TASK.PUSH with {name}", pushes)
            claims = each(f"TASK.CLAIM with {name}", [("TASK.CLAIM", queue)] * COMMANDS)
            each(f"TASK.COMPLETE with {name}", [("TASK.COMPLETE", queue, claim[0], result) for claim in claims])
            counter.say([("DEL", queue)])

        return step

    limits = [
        limited("CONCURRENCY", ("CONCURRENCY", COMMANDS)),
        limited("RATE", ("RATE", COMMANDS, 60_000)),
        limited("MAXLEN", ("MAXLEN", COMMANDS)),
        limited("EVENTS", ("EVENTS", 1000)),
        limited("UNIQUE", (), lambda number: ("UNIQUE", f"key:{number}")),
        limited("one GROUP", (), lambda _: ("GROUP", "customer")),
        limited(f"{COMMANDS:,} GROUPs", (), lambda number: ("GROUP", f"customer:{number}")),
        limited("GROUPCONCURRENCY 1", ("GROUPCONCURRENCY", 1), lambda number: ("GROUP", f"customer:{number}")),
    ]

    # Once a second the module looks whether anybody listens to replication. From then on it sends nothing (docs/adr/0008).
    time.sleep(3)
    for step in [cycle, others, batch, published, *limits] * REPEATS:
        step()
    counter.server.clean()
    return counted


def main():
    began = time.monotonic()
    budget = json.loads(BUDGET.read_text())
    tolerance = float(sys.argv[sys.argv.index("--tolerance") + 1]) if "--tolerance" in sys.argv else budget["tolerance"]
    version = re.search(r"v=(\d+\.\d+)", subprocess.run([servers.REDIS, "--version"], capture_output=True, text=True).stdout).group(1)
    counted = {"queue": queue()}
    if version == budget["redis"]:
        counted["server"] = server()
    else:
        print(f"skipped: the server's instructions: the budget is for Redis {budget['redis']}, and this is {version}")
    is_over = False
    for part, counts in counted.items():
        print(f"\n{part:44} counted  budget")
        for name, count in counts.items():
            allowed = budget.get(part, {}).get(name)
            change = 0 if not allowed else count / allowed - 1
            verdict = "" if abs(change) <= tolerance else f"{change:+.1%}"
            is_over |= change > tolerance and name not in NOT_OURS
            print(f"  {name:42} {count:7,} {allowed or 0:7,} {verdict}")
    if "server" in counted:
        floor = counted["server"]["a command that does nothing"]
        print(f"\nTASK.PUSH is {counted['server']['TASK.PUSH'] / floor:.2f} times a command that does nothing.")
    print(f"Counted in {time.monotonic() - began:.0f} s.")
    if "--write" in sys.argv:
        BUDGET.write_text(json.dumps({**budget, **counted}, indent=2, ensure_ascii=False) + "\n")
    elif is_over:
        sys.exit(f"More than the budget and its tolerance of {tolerance:.0%}: mend it, or `make bench-budget` and say why in the commit.")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The benchmark: this module beside what one would take instead, on one machine, in one run. docs/performance.md explains it.

    bench.py [--full] [--rounds N] [--only NAME,NAME] [--write]

Prints a table for each measurement. --write puts the tables into docs/performance.md, the figures into benches/results.json and a
chart into docs/performance.svg. Names are those of the functions in MEASUREMENTS.
"""

import argparse
import json
import multiprocessing
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import report
import servers
from servers import LOAD_CORE, ROOT, Link, Server, pin

HERE = Path(__file__).resolve().parent
LOAD = os.environ.get("LOAD", str(ROOT / "target/release/load"))
UNKNOWN_COMMAND = 3

# name: (kind of server, scenario)
TARGETS = {
    "PING": ("redis", "ping"),
    "module no-op": ("module", "noop"),
    "list": ("redis", "list"),
    "list, results taken away": ("redis", "list-hdel"),
    "list, batched": ("redis", "list-batch"),
    "reliable list": ("redis", "reliable"),
    "stream": ("redis", "stream"),
    "stream, batched": ("redis", "stream-batch"),
    "Lua queue": ("redis", "lua"),
    "beanstalkd (no results)": ("beanstalkd", "beanstalkd"),
    "redis-task": ("module", "task"),
    "redis-task, results dropped after 0.2 s": ("module+drop", "task"),
    "redis-task, batched": ("module", "task-batch"),
    "redis-task, CALL and COMPLETE NEXT": ("module", "task-call"),
    "list + AOF": ("redis+aof", "list"),
    "stream + AOF": ("redis+aof", "stream"),
    "Lua queue + AOF": ("redis+aof", "lua"),
    "redis-task + AOF": ("module+aof", "task"),
    "redis-task, batched + AOF": ("module+aof", "task-batch"),
}


class Skipped(Exception):
    pass


def note(text):
    print(text, file=sys.stderr, flush=True)


def start_load(server, scenario, mode, *options, realtime=False, **popen):
    command = [LOAD, mode, "--address", f"127.0.0.1:{server.port}", "--scenario", str(HERE / f"scenarios/{scenario}.tq")]
    command += map(str, options)
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=pin(LOAD_CORE, realtime), **popen
    )


def finish_load(process, scenario):
    out, error = process.communicate()
    if process.returncode == UNKNOWN_COMMAND:
        raise Skipped(f"{scenario}: {error.strip()}")
    if process.returncode:
        raise SystemExit(f"{scenario}: {error}")
    answer = json.loads(out)
    if answer.get("misses"):
        note(f"{scenario}: {answer['misses']} replies had no task or result in them")
    return answer


def load(server, scenario, mode, *options):
    return finish_load(start_load(server, scenario, mode, "--pid", server.pid, *options), scenario)


def available(names):
    """Leaves out what cannot run here, and says so."""
    if not Path(servers.BEANSTALKD).exists() and any("beanstalkd" in name for name in names):
        note("skipped: beanstalkd (not installed: scripts/need beanstalkd)")
        names = [name for name in names if "beanstalkd" not in name]
    return names


def interleaved(names, mode, *options, rounds=None, runner=None):
    """Runs every target once a round; answers what each run of each target gave."""
    names = available(names)
    kinds = {kind: Server(kind) for kind in {TARGETS[name][0] for name in names}}
    runs = {name: [] for name in names}
    for _ in range(rounds or ARGUMENTS.rounds):
        for name in list(runs):
            kind, scenario = TARGETS[name]
            try:
                runs[name].append((runner or load)(kinds[kind], scenario, mode, *options))
            except Skipped as reason:
                note(f"skipped: {name}: {reason}")
                del runs[name]
    for server in kinds.values():
        server.clean()
    return runs


def spread(values, form="{:,.2f}"):
    """The median, and the least and the largest."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{form.format(middle)} ({form.format(low)}–{form.format(high)})"


def ratios(runs, base, key):
    return [run[key] / other[key] for run, other in zip(runs, base)]


def throughput(title, names, base, *options, **more):
    runs = interleaved(names, "cycles", "--secs", ARGUMENTS.secs, *options, **more)
    rows = []
    for name, of in runs.items():
        phases = of[0]["phase_ns"]
        row = [name, spread([run["cpu_us"] for run in of]), spread(ratios(of, runs[base], "cpu_us"))]
        row += [spread([run["cycles_per_s"] for run in of], "{:,.0f}"), spread(ratios(of, runs[base], "cycles_per_s"))]
        row += [f"{statistics.median(run['busy'] for run in of):.2f}"]
        row += [", ".join(f"{phase} {statistics.median(run['phase_ns'][phase] for run in of):,.0f}" for phase in phases)]
        rows.append(row)
    head = ["", "server CPU, µs a cycle", f"÷ {base}", "cycles/s", f"÷ {base}", "server busy", "wall time by step, ns"]
    return {"title": title, "head": head, "rows": rows, "runs": runs}


def pipelined():
    names = ["PING", "module no-op", "list", "list, results taken away", "reliable list", "stream", "Lua queue"]
    names += ["beanstalkd (no results)", "redis-task", "redis-task, results dropped after 0.2 s"]
    return throughput("8 connections, 100 tasks pipelined", names, "list", "--connections", 8, "--pipeline", 100)


def aof():
    names = ["list", "list + AOF", "stream + AOF", "Lua queue + AOF", "redis-task", "redis-task + AOF"]
    title = "The same with an append-only file, synced every second"
    return throughput(title, names, "list + AOF", "--connections", 8, "--pipeline", 100)


def batched():
    names = ["list", "list, batched", "stream, batched", "redis-task", "redis-task, batched", "redis-task, batched + AOF"]
    return throughput("8 connections, 100 tasks a command", names, "list", "--connections", 8, "--pipeline", 100)


def unpipelined():
    names = ["PING", "list", "stream", "Lua queue", "redis-task", "redis-task, CALL and COMPLETE NEXT"]
    return throughput("50 connections, one command at a time", names, "list", "--connections", 50, "--pipeline", 1)


def bullmq():
    """BullMQ, a framework in Node.js, beside the list: its worker and its producer are one process on the generator's core."""
    folder = HERE / "bullmq"
    if not shutil.which("node") or not (folder / "node_modules").exists():
        raise Skipped("BullMQ (needs node, and `npm install` in benches/bullmq)")

    def run(server, scenario, mode, *options):
        if scenario != "bullmq":
            return load(server, scenario, mode, *options)
        server.say("FLUSHALL")
        before = server.cpu_us()
        command = ["node", "cycles.mjs", str(server.port), str(ARGUMENTS.bullmq)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, preexec_fn=pin(LOAD_CORE))
        if done.returncode:
            raise Skipped(done.stderr.strip())
        answer = json.loads(done.stdout)
        cpu_us = server.cpu_us() - before
        return {**answer, "cpu_us": cpu_us / answer["cycles"], "busy": cpu_us / 1e6 / answer["secs"], "phase_ns": {}}

    TARGETS["BullMQ, concurrency 100"] = ("redis", "bullmq")
    names = ["list", "redis-task", "BullMQ, concurrency 100"]
    title = "BullMQ (its own client and worker, so the client limits the cycles/s: compare the server's CPU)"
    return throughput(title, names, "list", "--connections", 8, "--pipeline", 100, runner=run)


def latency():
    names = ["PING", "list", "stream", "Lua queue", "beanstalkd (no results)", "redis-task"]
    runs = interleaved(names, "latency", "--samples", ARGUMENTS.samples)
    rows = []
    for name, of in runs.items():
        row = [name]
        for key in ("p50_us", "p99_us"):
            row += [spread([run[key] for run in of], "{:,.0f}"), spread(ratios(of, runs["PING"], key))]
        rows.append(row)
    head = ["", "p50, µs", "÷ PING", "p99, µs", "÷ PING"]
    return {"title": "From a push to an idle blocked worker having the task", "head": head, "rows": rows, "runs": runs}


def blocked():
    """A push beside one blocked worker and beside 10,000."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    rows, runs = [], {}
    for name in ("list", "stream", "redis-task"):
        kind, scenario = TARGETS[name]
        few = {workers: Server(kind) for workers in (1, ARGUMENTS.workers)}
        runs[name] = {workers: [] for workers in few}
        for _ in range(ARGUMENTS.rounds):
            for workers, server in few.items():
                options = ("--samples", 500, "--workers", workers, "--gap-us", 300)
                runs[name][workers].append(load(server, scenario, "latency", *options))
        for workers, of in runs[name].items():
            row = [name, f"{workers:,}", spread([run["p50_us"] for run in of], "{:,.0f}")]
            row += [spread(ratios(of, runs[name][1], "p50_us")), spread([run["cpu_us"] for run in of], "{:,.0f}")]
            rows.append([*row, spread(ratios(of, runs[name][1], "cpu_us"))])
        for server in few.values():
            server.clean()
    head = ["", "blocked workers", "push to task, p50, µs", "÷ one worker", "server CPU a task, µs", "÷ one worker"]
    return {"title": "A push beside many blocked workers", "head": head, "rows": rows, "runs": runs}


def memory():
    waiting, delayed, claimed = ("waiting", "enqueue"), ("delayed", "delay"), ("claimed", "enqueue,claim")
    kept = ("kept result", "enqueue,claim,finish")
    plan = {
        "list": [waiting, kept],
        "reliable list": [claimed],
        "stream": [waiting, claimed, kept],
        "Lua queue": [waiting, delayed, claimed, kept],
        "beanstalkd (no results)": [waiting, delayed, claimed],
        "redis-task": [waiting, delayed, claimed, kept],
    }
    rows, runs = [], {}
    for name in available(list(plan)):
        kind, scenario = TARGETS[name]
        for state, phases in plan[name]:
            server = Server(kind)
            run = load(server, scenario, "cycles", "--phases", phases, "--cycles", ARGUMENTS.tasks)
            server.clean()
            used = f"{run['used_bytes']:,.0f}" if run["used_bytes"] else "–"
            rows.append([name, state, used, f"{run['resident_bytes']:,.0f}"])
            runs[f"{name}: {state}"] = run
    title = f"Memory a task: {ARGUMENTS.tasks:,} tasks, payloads of 100 bytes, results of 32"
    return {"title": title, "head": ["", "state", "used_memory, bytes", "resident, bytes"], "rows": rows, "runs": runs}


def backlog():
    """The same cycles beside more and more tasks; every size has its own server, and the sizes are interleaved."""
    rows, runs = [], {}
    scenario = "task"
    for state, phases in (("waiting", "enqueue"), ("delayed", "delay"), ("claimed", "enqueue,claim")):
        sized = {size: Server("module") for size in ARGUMENTS.sizes}
        for size, server in sized.items():
            load(server, scenario, "cycles", "--phases", phases, "--cycles", size)
        runs[state] = {size: [] for size in sized}
        for _ in range(ARGUMENTS.rounds + 2):
            for size, server in sized.items():
                options = ("--secs", ARGUMENTS.secs, "--no-init", 1)
                runs[state][size].append(load(server, scenario, "cycles", *options))
        least = ARGUMENTS.sizes[0]
        for size, of in runs[state].items():
            steps = ", ".join(f"{step} {statistics.median(run['phase_ns'][step] for run in of):,.0f}" for step in of[0]["phase_ns"])
            cpu = [spread([run["cpu_us"] for run in of]), spread(ratios(of, runs[state][least], "cpu_us"))]
            rows.append([state, f"{size:,}", *cpu, steps])
        for server in sized.values():
            server.clean()
    head = ["beside tasks that are", "how many", "server CPU, µs a cycle", f"÷ beside {least:,}", "wall time by step, ns"]
    return {"title": "The cost of a cycle beside other tasks", "head": head, "rows": rows, "runs": runs}


class Pings:
    """PINGs of another connection, as long as the block runs."""

    def __init__(self, server):
        self.process = start_load(server, "ping", "ping", "--gap-us", 200, realtime=True, stdin=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.answer = finish_load(self.process, "ping")


def longest_command(server, command):
    """What the server itself says was the longest time in this command, in ms."""
    line = server.info("latencystats").get(f"latency_percentiles_usec_{command}", "")
    found = re.search(r"p100=([\d.]+)", line)
    return f"{float(found.group(1)) / 1000:.2f}" if found else "–"


def stalls():
    rows, runs = [], {}

    def add(what, pings, command="–"):
        runs[what] = pings.answer
        rows.append([what, *(f"{pings.answer[key] / 1000:.2f}" for key in ("p50_us", "p99_us", "p999_us", "max_us")), command])

    def start(kind):
        server = Server(kind, realtime=True)
        server.say("CONFIG", "SET", "latency-tracking-info-percentiles", "50 99 100")
        return server

    grow = ARGUMENTS.grow
    one = ("--connections", 1, "--pipeline", 100)
    server = start("redis")
    with Pings(server) as pings:
        load(server, "ping", "cycles", *one, "--secs", ARGUMENTS.secs * 5)
    add("PINGs, 100 pipelined: the floor of this measurement", pings)
    with Pings(server) as pings:
        load(server, "list", "cycles", *one, "--phases", "enqueue", "--cycles", grow)
    add(f"a list growing to {grow:,}", pings, longest_command(server, "lpush"))
    server.clean()
    server = start("module")
    with Pings(server) as pings:
        load(server, "task", "cycles", *one, "--phases", "enqueue", "--cycles", grow)
    add(f"redis-task growing to {grow:,} waiting tasks", pings, longest_command(server, "task.push"))
    server.clean()

    many = ARGUMENTS.tasks
    ends = (
        ("leases", "enqueue,claim-until", "ready", many),
        ("delays", "delay-at", "ready", many),
        ("retentions", "enqueue,claim,finish-until", "completed", 0),
    )
    for what, phases, state, wanted in ends:
        server = start("module")
        at_ms = int(time.time() * 1000) + ARGUMENTS.fill_ms
        load(server, "task", "cycles", "--phases", phases, "--cycles", many, "--at", at_ms)
        if time.time() * 1000 > at_ms - 100:
            raise SystemExit(f"stalls: the filling took longer than {ARGUMENTS.fill_ms} ms")
        # While writes are paused nothing ends: then all of it is due at once.
        server.say("CLIENT", "PAUSE", int(at_ms + 1000 - time.time() * 1000), "WRITE")
        time.sleep(max(0, at_ms / 1000 + 0.8 - time.time()))
        with Pings(server) as pings:
            deadline = time.time() + 120
            while count(server, state) != wanted:
                if time.time() > deadline:
                    raise SystemExit(f"stalls: the {what} did not end")
                time.sleep(0.1)
        secs = time.time() - at_ms / 1000 - 1
        add(f"{many:,} {what} end at once (all within {secs:.1f} s)", pings)
        server.clean()
    head = ["PINGs of another connection, beside", "p50, ms", "p99", "p99.9", "longest", "longest single command (server's own)"]
    return {"title": "Stalls", "head": head, "rows": rows, "runs": runs}


def count(server, state):
    """How many tasks of the queue are in this state."""
    info = server.say("TASK.INFO", "q")
    return dict(zip(info[::2], info[1::2]))[state.encode()]


def rdb():
    rows, runs = [], {}
    names = ("list", "stream", "redis-task")
    kept = {name: Server(TARGETS[name][0]) for name in names}
    for name, server in kept.items():
        load(server, TARGETS[name][1], "cycles", "--phases", "enqueue", "--cycles", ARGUMENTS.tasks)
        runs[name] = {"save_s": [], "load_s": []}
    for _ in range(ARGUMENTS.rounds):
        for name in names:
            began = time.monotonic()
            kept[name].say("SAVE")
            runs[name]["save_s"].append(time.monotonic() - began)
            # Each reads what it has just written.
            copy = tempfile_copy(kept[name])
            loaded = Server(TARGETS[name][0], folder=copy)
            found = re.search(r"DB loaded from disk: ([\d.]+) seconds", loaded.log())
            runs[name]["load_s"].append(float(found.group(1)))
            loaded.clean()
    for name in names:
        size = Path(kept[name].folder, "dump.rdb").stat().st_size / 1e6
        rows.append([name, *(spread(runs[name][key], "{:.3f}") for key in ("save_s", "load_s")), f"{size:,.0f}"])
        kept[name].clean()
    title = f"RDB of {ARGUMENTS.tasks:,} waiting tasks"
    return {"title": title, "head": ["", "SAVE, s", "load, s", "file, MB"], "rows": rows, "runs": runs}


def tempfile_copy(server):
    folder = f"{server.folder}-copy"
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)
    shutil.copy(Path(server.folder, "dump.rdb"), folder)
    return folder


def collecting():
    """A worker that completes a batch, alone, and while a client collects the results as they come; one that does nothing else, and
    one that works for some time on each 100 tasks, so that the server has time left."""
    each, at_work_s = 100, 0.002
    names = ("alone", "collected with COLLECT", "read with GATHER")
    runs = {name: [] for name in (*names, *(f"{name}, with work" for name in names[:2]))}
    for _ in range(ARGUMENTS.rounds):
        for name in runs:
            works = name.endswith("with work")
            size = ARGUMENTS.collected // 5 if works else ARGUMENTS.collected
            server = Server("module")
            payloads = ["x" * 100] * 1000
            link = Link(server)
            for start in range(0, size, 1000):
                link.say("TASK.MPUSH", "q", 1000, *payloads, "BATCH", "b", *(["SEAL"] if start + 1000 >= size else []))
            reader = multiprocessing.Process(target=collect, args=(server, size)) if "COLLECT" in name else None
            before, began = server.cpu_us(), time.monotonic()
            if reader:
                reader.start()
            for _ in range(0, size, each):
                tasks = link.say("TASK.CLAIM", "q", "COUNT", each)
                answers = [word for task in tasks for word in (task[0], task[2], b"r" * 32)]
                if works:
                    time.sleep(at_work_s)
                link.say("TASK.MCOMPLETE", "q", len(tasks), *answers)
                if name == "read with GATHER":
                    link.say("TASK.GATHER", "q", len(tasks), *answers[::3])
            took = time.monotonic() - began
            if reader:
                reader.join()
            runs[name].append({"tasks_per_s": size / took, "cpu_us": (server.cpu_us() - before) / size})
            server.clean()
    rows = []
    for name, of in runs.items():
        alone = runs["alone, with work" if name.endswith("with work") else "alone"]
        row = [name, spread([run["tasks_per_s"] for run in of], "{:,.0f}"), spread(ratios(of, alone, "tasks_per_s"))]
        rows.append([*row, spread([run["cpu_us"] for run in of]), spread(ratios(of, alone, "cpu_us"))])
    head = ["results", "tasks/s of one worker, 100 at a time", "÷ alone", "server CPU a task, µs", "÷ alone"]
    return {"title": f"A batch of {ARGUMENTS.collected:,} collected while it is worked on", "head": head, "rows": rows, "runs": runs}


def collect(server, size):
    link, cursor, got = Link(server), "0", 0
    while got < size:
        cursor, _, ends = link.say("TASK.COLLECT", "q", "b", cursor, "COUNT", 1000, "BLOCK", 0)
        got += len(ends)


MEASUREMENTS = {
    of.__name__: of for of in (pipelined, aof, batched, unpipelined, bullmq, latency, blocked, memory, backlog, stalls, rdb, collecting)
}


def steal():
    """CPU time that the machine's host gave to others, in ticks, and all of it."""
    fields = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
    return fields[7], sum(fields)


def machine(began, before):
    """In what conditions the figures were taken, without names."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    version = subprocess.run([servers.REDIS, "--version"], capture_output=True, text=True).stdout
    stolen = [after - earlier for after, earlier in zip(steal(), before)]
    return {
        "cpu": model.group(1) if model else "unknown",
        "cores": os.cpu_count(),
        "server": re.search(r"v=([\d.]+)", version).group(1),
        "minutes": round((time.time() - began) / 60, 1),
        "steal_percent": round(100 * stolen[0] / max(stolen[1], 1), 1),
        "load_average": os.getloadavg()[0],
        "rounds": ARGUMENTS.rounds,
    }


def main():
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("The benchmark pins server and generator to a core each: it needs two.")
    began, before = time.time(), steal()
    for name in ARGUMENTS.only or MEASUREMENTS:
        try:
            result = MEASUREMENTS[name]()
        except Skipped as reason:
            note(f"skipped: {reason}")
            continue
        print(f"\n### {result['title']}\n\n{report.table(result)}", flush=True)
        if ARGUMENTS.write:
            report.write({name: result}, machine(began, before))
    print(f"\n{json.dumps(machine(began, before))}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the sizes of docs/performance.md; else smaller ones")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--only", type=lambda names: names.split(","))
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    sizes = {
        "rounds": (3, 5),
        "secs": (0.4, 1.0),
        "samples": (500, 1000),
        "workers": (2_000, 10_000),
        "tasks": (100_000, 1_000_000),
        "sizes": ([1_000, 100_000], [1_000, 100_000, 1_000_000, 5_000_000]),
        "grow": (1_000_000, 10_000_000),
        "fill_ms": (4_000, 30_000),
        "bullmq": (4_000, 10_000),
        "collected": (100_000, 1_000_000),
    }
    for name, (quick, full) in sizes.items():
        if getattr(given, name, None) is None:
            setattr(given, name, full if given.full else quick)
    return given


if __name__ == "__main__":
    ARGUMENTS = arguments()
    main()

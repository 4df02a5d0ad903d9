"""Prints all queues of a database as metrics, in Prometheus' text format.

    pip install -r requirements.txt
    python metrics.py [--port 6379 | --url redis://...] [--match PATTERN] [--schedules]
    python metrics.py --listen 9122     # answers each GET on 127.0.0.1:9122

The URL says which database: redis://localhost:6379/1; without a number it is 0. In a cluster ask each node.

Write what it prints to a file of node_exporter's textfile collector, or let it listen and scrape it. It says SCAN, and one
TASK.INFO for each queue: O(keys of the server). docs/operations.md says which of these to watch. The user needs
%R~ on the queues, and +scan +task.info +info (with --schedules also +task.schedules). Queues that it may not read are left
out; if it may read none of those there are, or may not say one of these, that is an error: exit code 1, or status 503.
"""

import argparse
import http.server
import json
import sys

import redis

STATES = "waiting", "scheduled", "ready", "claimed", "completed", "failed", "canceled", "expired"
PERCENTILES = "p50", "p90", "p99", "max"


class Page:
    """Metrics by name: all of a name stand together, below what it means."""

    def __init__(self):
        self.metrics = {}

    def add(self, name, kind, help, value, **labels):
        lines = self.metrics.setdefault(name, [f"# HELP {name} {help}", f"# TYPE {name} {kind}"])
        quoted = (f'{label}="{quote(text)}"' for label, text in labels.items())
        lines.append(f"{name}{{{','.join(quoted)}}} {value}" if labels else f"{name} {value}")

    def text(self):
        return "".join(line + "\n" for lines in self.metrics.values() for line in lines)


def quote(text):
    if isinstance(text, bytes):
        text = text.decode(errors="backslashreplace")
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def collect(r, options):
    page, refused = Page(), None
    # SCAN may name a key twice; a metric must stand once.
    for queue in sorted(set(r.scan_iter(match=options.match, count=1000, _type="taskqueue"))):
        try:
            info = json.loads(r.execute_command("TASK.INFO", queue, "JSON"))
            schedules = list(schedules_of(r, queue)) if options.schedules else []
        except redis.exceptions.NoPermissionError as error:
            refused = error
            continue
        except redis.exceptions.AskError:
            continue  # ASK or MOVED: another node of the cluster has it by now
        except redis.ResponseError as error:
            if str(error).startswith("WRONGTYPE"):
                continue  # its key is something else by now
            raise
        add_queue(page, queue, info)
        for schedule in schedules:
            for outcome in "fired", "skipped", "missed":
                help = "Slots of schedules by what became of them."
                labels = {"queue": queue, "schedule": schedule["name"], "outcome": outcome}
                page.add("redis_task_slots_total", "counter", help, schedule[outcome], **labels)
    if refused and not page.metrics:
        raise refused
    add_server(page, r)
    return page.text()


def schedules_of(r, queue):
    cursor, page = r.execute_command("TASK.SCHEDULES", queue, 0, "COUNT", 100, "JSON")
    yield from map(json.loads, page)
    while cursor != b"0":
        cursor, page = r.execute_command("TASK.SCHEDULES", queue, cursor, "COUNT", 100, "JSON")
        yield from map(json.loads, page)


def add_queue(page, queue, info):
    for state in STATES:
        page.add("redis_task_tasks", "gauge", "Tasks by state.", info[state], queue=queue, state=state)
    for event, count in info["totals"].items():
        page.add("redis_task_events_total", "counter", "What has happened to tasks.", count, queue=queue, event=event)
    age = (info["oldest-ready-ms"] or 0) / 1000
    page.add("redis_task_oldest_ready_seconds", "gauge", "How long the oldest ready task has been ready.", age, queue=queue)
    for field, name in (("wait-ms", "redis_task_wait_seconds"), ("run-ms", "redis_task_run_seconds")):
        help = "How long recent claims " + ("had waited." if field == "wait-ms" else "lasted.")
        for percentile in PERCENTILES:
            if info[field] is not None:
                page.add(name, "gauge", help, info[field][percentile] / 1000, queue=queue, percentile=percentile)
    page.add("redis_task_memory_bytes", "gauge", "Memory of the queue.", info["memory"], queue=queue)
    workers = info["waiting-workers"]
    page.add("redis_task_waiting_workers", "gauge", "Workers that wait for a task of the queue.", workers, queue=queue)
    for direction in "in", "out":
        paused = int(info["settings"]["paused"] in (direction, "all"))
        help = "1: the queue takes no pushes (in), or hands out no tasks (out)."
        page.add("redis_task_paused", "gauge", help, paused, queue=queue, direction=direction)


def add_server(page, r):
    info = r.info("task")
    page.add("redis_task_scan_complete", "gauge", "1: all keys were looked at.", 1)
    help = "1: something is due, and time stands still for it, because the server would refuse a write."
    page.add("redis_task_writes_refused", "gauge", help, info["task_writes_refused"])
    for what in "tasks", "results", "batches", "events":
        help = "Clients that wait."
        page.add("redis_task_waiting_clients", "gauge", help, info[f"task_waiting_for_{what}"], **{"for": what})
    late = info["task_tick_late_ms"] / 1000
    page.add("redis_task_tick_late_seconds", "gauge", "How late the last deadline was seen.", late)
    help = "Bytes that were given to replicas and the AOF."
    page.add("redis_task_replicated_bytes_total", "counter", help, info["task_replicated_bytes"])


def main():
    parser = argparse.ArgumentParser(description="Prints all queues of a database as metrics.")
    parser.add_argument("--port", type=int, default=6379)
    parser.add_argument("--url", help="instead of --port, as in redis://user:password@host:6379/0")
    parser.add_argument("--match", default="*", help="which keys, as in SCAN")
    parser.add_argument("--schedules", action="store_true", help="count the slots of schedules too")
    parser.add_argument("--listen", type=int, help="a port to answer at")
    options = parser.parse_args()
    r = redis.Redis.from_url(options.url or f"redis://localhost:{options.port}", socket_timeout=10)
    if options.listen is None:
        print(collect(r, options), end="")
        return

    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 10  # seconds that a connection may be idle

        def do_GET(self):
            try:
                status, body = 200, collect(r, options).encode()
            except redis.RedisError as error:
                print(error, file=sys.stderr, flush=True)
                status, body = 503, f"{error}\n".encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    http.server.ThreadingHTTPServer(("127.0.0.1", options.listen), Handler).serve_forever()


if __name__ == "__main__":
    try:
        main()
    except redis.RedisError as error:
        sys.exit(str(error))

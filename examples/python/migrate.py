"""Moves what waits in a list, or in a stream, into a queue. If it is stopped or killed, say the same again: nothing is lost or doubled.

    pip install -r requirements.txt
    python migrate.py list SOURCE QUEUE [--first left]       # RPUSH, LPOP; without --first: LPUSH, RPOP
    python migrate.py stream SOURCE GROUP QUEUE [--field NAME] [--idle MS]
    ... [--port 6379 | --url redis://...] [--to redis://...] [PUSH OPTIONS, as in: -- PRIORITY 5 ATTEMPTS 10]

A list is first renamed to `SOURCE:moving`, in one step: who pushes to SOURCE meanwhile begins a new list, which the next run moves.
Its workers cannot take what is being moved. Each element becomes a task `moved:<run>:<number>`. After each page of tasks its elements
are cut off; so a page that is said again finds its tasks by their IDs, and adds none.

Of a stream the entries are moved that GROUP has not acknowledged: first those that are pending for --idle milliseconds, whoever
has them, then those that nobody was given. Stop the group's workers before, or they do some of them, too. Each becomes a task
`SOURCE:<entry's id>`, and is acknowledged when its task is there. The payload is a JSON object of the entry's fields, or one field.
The stream itself stays as it is.

One run of a source at a time. Say it again soon: a task that is done is known for an hour (RETAIN).
"""

import argparse
import itertools
import json
import sys
import urllib.parse
import uuid

import redis

PAGE = 100


def push(r, queue, tasks, options):
    """Pushes (id, payload) pairs. Raises at the first that is refused: then it is unknown which are there, until it is said again."""
    pipeline = r.pipeline(transaction=False)
    for id, payload in tasks:
        pipeline.execute_command("TASK.PUSH", queue, payload, "ID", id, *options)
    pipeline.execute()


def move_list(source, target, options):
    moving, run_key = f"{options.source}:moving", f"{options.source}:moving:run"
    if not source.exists(moving):
        # Each run has a name of its own, so that its IDs are those of no other; a run that was not finished goes on under its name.
        source.set(run_key, uuid.uuid4().hex)
        try:
            source.renamenx(options.source, moving)
        except redis.ResponseError as error:
            if "no such key" not in str(error):
                raise
    run = (source.get(run_key) or b"").decode()
    if not run:
        sys.exit(f"{moving} is a list of somebody else's.")
    moved = 0
    # What is left is numbered from the end that is taken last, so that numbers stay when a page is cut off.
    while left := source.llen(moving):
        if options.first == "right":
            page = source.lrange(moving, -PAGE, -1)[::-1]
        else:
            page = source.lrange(moving, 0, PAGE - 1)
        numbers = itertools.count(left, -1)
        push(target, options.queue, [(f"moved:{run}:{n}", payload) for n, payload in zip(numbers, page)], options.push)
        # To a length, not by one: said twice, by a client that lost the reply, it is the same.
        rest = left - len(page)
        if rest == 0:
            source.delete(moving, run_key)
        elif options.first == "right":
            source.ltrim(moving, 0, rest - 1)
        else:
            source.ltrim(moving, -rest, -1)
        moved += len(page)
    if moved == 0:
        source.delete(run_key)
    return moved


def move_stream(source, target, options):
    prefix = urllib.parse.quote(options.source, safe=":{}")  # an ID has no white space

    def move(entries):
        tasks = [(f"{prefix}:{id.decode()}", payload(fields, options.field)) for id, fields in entries]
        if tasks:
            push(target, options.queue, tasks, options.push)
            source.xack(options.source, options.group, *(id for id, _ in entries))
        return len(tasks)

    total = 0
    while True:
        moved, cursor = 0, None
        while cursor != b"0-0":
            claim = options.source, options.group, "migrate", options.idle, cursor or "0-0"
            cursor, entries = source.xautoclaim(*claim, count=PAGE)[:2]
            moved += move(entries)
        while new := source.xreadgroup(options.group, "migrate", {options.source: ">"}, count=PAGE):
            pages = new.values() if isinstance(new, dict) else (entries for _, entries in new)
            moved += sum(move(entries) for entries in pages)
        total += moved
        if moved == 0:  # what a lost reply has left pending is found in another round
            return total


def payload(fields, field):
    if field is not None:
        return fields[field.encode()]
    return json.dumps({name.decode(): value.decode() for name, value in fields.items()})


def main():
    arguments, extra = sys.argv[1:], []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, extra = arguments[:at], arguments[at + 1 :]
    parser = argparse.ArgumentParser(description="Moves a list or a stream into a queue.")
    parser.add_argument("--port", type=int, default=6379)
    parser.add_argument("--url", help="instead of --port: the server of the source, as in redis://user:password@host:6379")
    parser.add_argument("--to", help="the server of the queue, if it is another one")
    kinds = parser.add_subparsers(dest="kind", required=True)
    lists, streams = kinds.add_parser("list"), kinds.add_parser("stream")
    lists.add_argument("source")
    lists.add_argument("queue")
    lists.add_argument("--first", choices=("left", "right"), default="right", help="the end that workers take from")
    streams.add_argument("source")
    streams.add_argument("group")
    streams.add_argument("queue")
    streams.add_argument("--field", help="the field that is the payload")
    streams.add_argument("--idle", type=int, default=0, help="leave entries that a worker was given less than so many ms ago")
    options = parser.parse_args(arguments)
    options.push = extra
    source = redis.Redis.from_url(options.url or f"redis://localhost:{options.port}")
    target = redis.Redis.from_url(options.to) if options.to else source
    moved = (move_list if options.kind == "list" else move_stream)(source, target, options)
    print(f"{moved} moved")


if __name__ == "__main__":
    try:
        main()
    except redis.RedisError as error:
        sys.exit(f"{error}\nWhat was moved is moved. Say the same again to go on.")

"""Moves what waits in a list, or in a stream, into a queue. If it is stopped or killed, say the same again: nothing is lost or doubled.

    pip install -r requirements.txt
    python migrate.py list SOURCE QUEUE [--first left]       # RPUSH, LPOP; without --first: LPUSH, RPOP
    python migrate.py stream SOURCE GROUP QUEUE [--field NAME] [--idle MS] [--prefix NAME]
    ... [--port 6379 | --url redis://...] [--to redis://...] [PUSH OPTIONS, as in: -- PRIORITY 5 ATTEMPTS 10]

A list is first renamed to `SOURCE:moving`, in one step: who pushes to SOURCE meanwhile begins a new list, which the next run moves.
Its workers cannot take what is being moved. Each element becomes a task `moved:<run>:<number>`. After each page of tasks its elements
are cut off; so a page that is said again finds its tasks by their IDs, and adds none.

Of a stream the entries are moved that GROUP has not acknowledged: first those that an earlier run was given, then those that are
pending for --idle milliseconds, whoever has them, then those that nobody was given. Stop the group's workers before, or they do some
of them, too. Each becomes a task `SOURCE:GROUP:<entry's id>`, and is acknowledged when its task is there. Streams of one name on two
servers, into one queue, need a --prefix each, which stands in the place of SOURCE: else the entries of one could be taken for those
of the other. The payload is a JSON object of the entry's fields (one that is there twice has an array), or one field. The stream
itself stays as it is.

One run of a source at a time. Say it again soon: a task that is done is known for an hour (RETAIN).
"""

import argparse
import itertools
import json
import re
import sys
import urllib.parse
import uuid

import redis

PAGE = 100

# Others could leave a task out, let it be done again, or refuse what follows (ID, NX, UNIQUE, RENEW, SEAL).
TEN_YEARS = 315_360_000_000
OPTIONS = {
    "PRIORITY": range(256),
    "DELAY": range(TEN_YEARS + 1),
    "AT": range(2**48),
    "TTL": range(1, TEN_YEARS + 1),
    "ATTEMPTS": range(65_536),
    "BACKOFF": range(TEN_YEARS + 1),
    "LEASE": range(1, TEN_YEARS + 1),
    "TIMEOUT": range(1, TEN_YEARS + 1),
    "RETAIN": range(-1, TEN_YEARS + 1),
    "RETAINFAILED": range(-1, TEN_YEARS + 1),
    "GROUP": None,
    "BATCH": None,
}


def check(source, target, options):
    """Ends the program if something is wrong, before anything is changed."""
    names = [name.upper() for name in options.push[::2]]
    for name, value in itertools.zip_longest(names, options.push[1::2]):
        if name not in OPTIONS:
            sys.exit(f"{name} is none of the options that can be given: {', '.join(OPTIONS)}.")
        if value is None:
            sys.exit(f"{name} needs a value.")
        allowed = OPTIONS[name]
        if allowed and not (re.fullmatch("0|-?[1-9][0-9]*", value) and int(value) in allowed):
            sys.exit(f"{name} must be an integer from {allowed[0]} to {allowed[-1]}, and is {value}.")
    if len(set(names)) < len(names) or {"DELAY", "AT"} <= set(names):
        sys.exit("Each option can be given once, and DELAY and AT not together.")
    keys = [(source, options.source, options.kind), (target, options.queue, "taskqueue")]
    if options.kind == "list":
        keys.append((source, f"{options.source}:moving", "list"))
    for r, key, expected in keys:
        found = r.type(key).decode()
        if found not in (expected, "none"):
            sys.exit(f"{key} is a {found}, not a {expected}.")
    if options.kind == "stream":
        if not source.exists(options.source):
            sys.exit(f"There is no stream {options.source}.")
        source.xpending(options.source, options.group)  # an error where there is no such group
    target.execute_command("TASK.INFO", options.queue)  # an error where the module is not loaded


def push(r, queue, tasks, options):
    """Pushes (id, payload) pairs. Raises at the first that is refused: then it is unknown which are there, until it is said again."""
    pipeline = r.pipeline(transaction=False)
    for id, payload in tasks:
        pipeline.execute_command("TASK.PUSH", queue, payload, "ID", id, *options)
    if pipeline.execute() != [id.encode() for id, _ in tasks]:
        sys.exit(f"{queue} has not taken each task.")


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
    # An ID has no white space; without a colon in the group no two streams and groups have the same name.
    quote = urllib.parse.quote
    name = f"{quote(options.prefix or options.source, safe=':{}')}:{quote(options.group, safe='{}')}"

    def move(entries):
        # Fields that are no list: the entry was deleted from the stream while it was pending.
        tasks = [(f"{name}:{id.decode()}", payload(id, fields, options.field)) for id, fields in entries if fields]
        if tasks:
            push(target, options.queue, tasks, options.push)
        if entries:
            source.xack(options.source, options.group, *(id for id, _ in entries))
        return len(tasks)

    def given(start):
        """Entries of this consumer: from 0 on those that it has and has not acknowledged, from > on those that nobody was given."""
        command = "XREADGROUP", "GROUP", options.group, "migrate", "COUNT", PAGE, "STREAMS", options.source, start
        while (answer := source.execute_command(*command)) and (entries := answer[0][1]):
            yield entries

    total = 0
    while True:
        # What an earlier run, or a reply that was lost, has left.
        moved, cursor = sum(map(move, given("0"))), None
        while cursor != b"0-0":
            claim = options.source, options.group, "migrate", options.idle, cursor or "0-0", "COUNT", PAGE
            cursor, entries = source.execute_command("XAUTOCLAIM", *claim)[:2]
            moved += move([entry for entry in entries if entry])
        moved += sum(map(move, given(">")))
        total += moved
        if moved == 0:
            break
    if left := source.xpending(options.source, options.group)["pending"]:
        print(f"{left} left, which workers were given meanwhile, or in the last --idle ms", file=sys.stderr)
    return total


def payload(id, fields, field):
    pairs = list(zip(fields[::2], fields[1::2]))
    values = {}
    if field is not None:
        found = [value for name, value in pairs if name == field.encode()]
        if len(found) != 1:
            sys.exit(f"The entry {id.decode()} has {len(found)} fields {field}, not one.")
        return found[0]
    try:
        for name, value in pairs:
            values.setdefault(name.decode(), []).append(value.decode())
    except UnicodeDecodeError:
        sys.exit(f"The entry {id.decode()} is no UTF-8, which JSON must be. --field takes one field as it is.")
    return json.dumps({name: found[0] if len(found) == 1 else found for name, found in values.items()})


def connect(url):
    # As it comes: redis-py would make a dict of an entry, and leave out a field that is there twice.
    r = redis.Redis.from_url(url, protocol=2)
    for command in "XREADGROUP", "XAUTOCLAIM":
        r.set_response_callback(command, lambda answer, **_: answer)
    return r


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
    streams.add_argument("--prefix", help="what the tasks' IDs begin with, instead of SOURCE")
    streams.add_argument("--idle", type=int, default=0, help="leave entries that a worker was given less than so many ms ago")
    options = parser.parse_args(arguments)
    options.push = extra
    source = connect(options.url or f"redis://localhost:{options.port}")
    target = connect(options.to) if options.to else source
    try:
        check(source, target, options)
    except redis.RedisError as error:
        sys.exit(f"{error}")
    try:
        moved = (move_list if options.kind == "list" else move_stream)(source, target, options)
    except redis.RedisError as error:
        sys.exit(f"{error}\nWhat was moved is moved. Say the same again to go on.")
    empty = f": there is no list {options.source}" if options.kind == "list" and moved == 0 else ""
    print(f"{moved} moved{empty}")


if __name__ == "__main__":
    main()

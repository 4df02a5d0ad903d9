"""conformance.py PORT [CLUSTER-PORT]: the checks of clients/README.md with redis-py."""

import sys
import time

import redis

PORT, CLUSTER = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None


def ok(check, *pairs):
    for got, expected in pairs:
        if got != expected:
            sys.exit(f"FAILED {check}: {got!r}, not {expected!r}")
    print("ok", check, flush=True)


def code(function, *command):
    """The first word of the error that a command is refused with."""
    try:
        return function(*command)
    except redis.ResponseError as error:
        return str(error).split()[0]


def connect(**options):
    return redis.Redis(port=PORT, protocol=2, socket_timeout=10, **options)


r = connect()
t = r.execute_command
r.flushall()

# push: options, an ID said twice, nil for NX
ok(
    "push",
    (t("TASK.PUSH", "q", "low", "ID", "a"), b"a"),
    (t("TASK.PUSH", "q", "high", "ID", "b", "PRIORITY", 5, "ATTEMPTS", 2, "BACKOFF", 50, "LEASE", 7000), b"b"),
    (t("TASK.PUSH", "q", "low", "ID", "a"), b"a"),
    (t("TASK.PUSH", "q", "low", "ID", "a", "NX"), None),
)
# claim: strings, integers and nil; nil for an empty queue
ok(
    "claim",
    (t("TASK.CLAIM", "q", "WORKER", "w"), [b"b", b"high", 1, 7000, None]),
    (t("TASK.CLAIM", "q", "COUNT", 9), [[b"a", b"low", 1, 30000, None]]),
    (t("TASK.CLAIM", "q"), None),
)
# block: nil at the timeout; a task as soon as it is due
began = time.monotonic()
nothing = t("TASK.CLAIM", "q", "BLOCK", 200)
waited = time.monotonic() - began
t("TASK.PUSH", "q", "later", "ID", "c", "DELAY", 200)
ok("block", (nothing, None), (0.15 < waited < 5, True), (t("TASK.CLAIM", "q", "BLOCK", 5000)[0], b"c"))
# next: completes and claims in one command; again answers the same
t("TASK.PUSH", "q", "n", "ID", "d")
ok(
    "next",
    (t("TASK.COMPLETE", "q", "c", "done", "ATTEMPT", 1, "NEXT", "BLOCK", 1000), [b"d", b"n", 1, 30000, None]),
    (t("TASK.COMPLETE", "q", "c", "again", "ATTEMPT", 1), b"OK"),
    (t("TASK.COMPLETE", "q", "d", "done", "ATTEMPT", 1, "NEXT", "BLOCK", 100), None),
    (t("TASK.RESULT", "q", "c", "BLOCK", 1000), [b"completed", b"done"]),
)
# fail: again after the backoff, then failed
ok(
    "fail",
    (t("TASK.FAIL", "q", "b", "oops", "ATTEMPT", 1), b"scheduled"),
    (t("TASK.CLAIM", "q", "BLOCK", 5000)[:3], [b"b", b"high", 2]),
    (t("TASK.FAIL", "q", "b", "oh no", "ATTEMPT", 2), b"failed"),
    (t("TASK.RESULT", "q", "b"), [b"failed", b"oh no"]),
    (t("TASK.RETRY", "q", "b"), 1),
)
# release: back at no cost
ok(
    "release",
    (t("TASK.CLAIM", "q")[2], 3),
    (t("TASK.RELEASE", "q", "b", "ATTEMPT", 3), b"OK"),
    (t("TASK.CLAIM", "q")[:3], [b"b", b"high", 4]),
)
# extend: a heartbeat, and a checkpoint for the next attempt
ok(
    "extend",
    (t("TASK.EXTEND", "q", "b", "ATTEMPT", 4, "CHECKPOINT", "half"), b"OK"),
    (t("TASK.RELEASE", "q", "b", "ATTEMPT", 4), b"OK"),
    (t("TASK.CLAIM", "q"), [b"b", b"high", 5, 7000, b"half"]),
)
# errors: their first word
t("SET", "text", "x")
ok(
    "errors",
    (code(t, "TASK.COMPLETE", "q", "b", "x", "ATTEMPT", 4), "STALE"),
    (code(t, "TASK.COMPLETE", "q", "nobody", "x"), "NOTASK"),
    (code(t, "TASK.EXTEND", "q", "c", "ATTEMPT", 1), "NOTCLAIMED"),
    (code(t, "TASK.PUSH", "text", "x"), "WRONGTYPE"),
    (code(t, "TASK.PUSH", "q", "x", "COLOR", "red") in ("ERR", "syntax"), True),  # redis-py takes ERR away
    (t("TASK.CANCEL", "q", "b"), 1),
    (code(t, "TASK.COMPLETE", "q", "b", "x", "ATTEMPT", 5), "CANCELED"),
)
# array-errors: one error in an array, the rest is there
both = t("TASK.MCOMPLETE", "q", 2, "a", 1, "done", "b", 5, "done")
ok("array-errors", (both[0], b"OK"), (isinstance(both[1], redis.ResponseError), True), (str(both[1])[:8], "CANCELED"))
# gather: ends in the order asked, nil for one that is not there
ok("gather", (t("TASK.GATHER", "q", 3, "c", "b", "x", "BLOCK", 100), [[b"c", b"completed", b"done"], [b"b", b"canceled", None], [b"x", None, None]]))
# collect: page by page, with a cursor, until nothing remains
for n in range(3):
    t("TASK.PUSH", "m", n, "ID", f"m{n}", "BATCH", "maps")
    t("TASK.COMPLETE", "m", t("TASK.CLAIM", "m")[0], n * n, "ATTEMPT", 1)
cursor, unsealed, first = t("TASK.COLLECT", "m", "maps", 0, "COUNT", 2)
sealed = t("TASK.SEAL", "m", "maps")
cursor, remaining, second = t("TASK.COLLECT", "m", "maps", cursor, "BLOCK", 1000)
ends = [[b"m0", b"completed", b"0"], [b"m1", b"completed", b"1"], [b"m2", b"completed", b"4"]]
ok("collect", (unsealed, -1), (sealed, 3), (remaining, 0), (first + second, ends))
# binary: every byte, nothing, and a megabyte
every = bytes(range(256)) + b"\r\n"
for id, data in ("x", every), ("y", b""), ("z", every * 4096):
    t("TASK.PUSH", "bin", data, "ID", id)
    claimed = t("TASK.CLAIM", "bin")
    t("TASK.COMPLETE", "bin", id, data, "ATTEMPT", 1)
    if (claimed[1], t("TASK.RESULT", "bin", id)[1]) != (data, data):
        sys.exit("FAILED binary")
ok("binary")
# info: a map, flat in RESP2
flat = t("TASK.INFO", "m")
ok("info", (dict(zip(flat[::2], flat[1::2]))[b"completed"], 3))
# session: a claim that ends with its connection
t("TASK.PUSH", "s", "x", "ID", "s")
other = connect()
other.execute_command("TASK.CLAIM", "s", "SESSION")
other.close()
ok("session", (t("TASK.CLAIM", "s", "BLOCK", 5000)[:3], [b"s", b"x", 2]))
# reconnect: the connection is cut, the COMPLETE is said again
own, other = t("CLIENT", "ID"), connect()
t("TASK.COMPLETE", "s", "s", "done", "ATTEMPT", 2)
other.execute_command("CLIENT", "KILL", "ID", own)
ok("reconnect", (t("TASK.COMPLETE", "s", "s", "done", "ATTEMPT", 2), b"OK"), (t("CLIENT", "ID") != own, True))
# pipeline: many pushes in one round trip
pipe = r.pipeline(transaction=False)
for n in range(100):
    pipe.execute_command("TASK.PUSH", "p", n, "ID", f"p{n}")
ok("pipeline", (pipe.execute(), [b"p%d" % n for n in range(100)]), (len(t("TASK.CLAIM", "p", "COUNT", 1000)), 100))
# resp3: a map is a map, nil is nil, an error in an array is there
three = redis.Redis(port=PORT, protocol=3)
mixed = three.execute_command("TASK.MCOMPLETE", "p", 2, "p0", 1, "x", "p1", 9, "x")
ok(
    "resp3",
    (three.execute_command("TASK.INFO", "m")[b"completed"], 3),
    (three.execute_command("TASK.CLAIM", "m"), None),
    (three.execute_command("TASK.RESULT", "q", "b"), [b"canceled", None]),
    ((mixed[0], str(mixed[1])[:5]), (b"OK", "STALE")),
)
# cluster: queues on all nodes, the keys of MCLAIM behind a number
if CLUSTER is None:
    print("skip cluster: no cluster was started")
else:
    c = redis.RedisCluster(host="127.0.0.1", port=CLUSTER)
    for n in range(8):
        queue = f"queue:{n}"
        got = (
            c.execute_command("TASK.PUSH", queue, "x", "ID", "i"),
            c.execute_command("TASK.MCLAIM", 1, queue, "BLOCK", 100),
            c.execute_command("TASK.COMPLETE", queue, "i", "y", "ATTEMPT", 1),
            c.execute_command("TASK.RESULT", queue, "i"),
        )
        expected = (b"i", [queue.encode(), [b"i", b"x", 1, 30000, None]], b"OK", [b"completed", b"y"])
        if got != expected:
            sys.exit(f"FAILED cluster: {got}")
    ok("cluster")

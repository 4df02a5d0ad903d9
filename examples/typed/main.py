"""main.py [PORT]: a queue with types, from the push to the results. `mypy --strict` checks it."""

import sys
from dataclasses import dataclass

import redis
from task_queue import Lost, Queue


@dataclass(frozen=True)
class Job:
    n: int


def job(data: dict[str, int]) -> Job:
    return Job(**data)


r = redis.Redis(port=int(sys.argv[1]) if len(sys.argv) > 1 else 6379, socket_timeout=10)
squares = Queue[Job, int](r, "squares", job, int)


def work(n: int) -> int:
    if n < 0:
        raise ValueError("negative")
    return n * n


for n in range(1, 6):
    squares.push(Job(n), batch="some")
squares.seal("some")
wrong = squares.push(Job(-1), attempts=1, priority=5)
while task := squares.claim("typed", 100):
    squares.extend(task)
    try:
        squares.complete(task, work(task.payload.n))
    except ValueError as error:
        squares.fail(task, str(error))

print(*(outcome.result for outcome in squares.collect("some")))
if outcome := squares.outcome(wrong):
    print(outcome.state, outcome.error)

id = squares.push(Job(7))
task = squares.claim("typed")
assert task is not None and task.id == id
squares.extend(task, b"half")
squares.release(task)
task = squares.claim("typed")
assert task is not None and task.attempt == 2
r.execute_command("TASK.CANCEL", "squares", id)  # type: ignore[no-untyped-call]
try:
    squares.complete(task, 49)
except Lost:
    print(f"lost true, {(task.checkpoint or b'').decode()} done, {task.lease_ms} ms")


def mistakes() -> None:
    """What the types do not let pass; nobody calls it."""
    squares.push(7)  # type: ignore[arg-type]
    squares.push(Job(7), colour="red")  # type: ignore[call-arg]
    if task := squares.claim("typed"):
        squares.complete(task, "49")  # type: ignore[arg-type]

"""A queue with types, over redis-py: a file to copy. Payloads are P and results R, sent as JSON.

    squares = Queue(redis.Redis(), "squares", lambda data: Job(**data), int)

How a worker lives through failovers and ends on SIGTERM is its own: docs/clients/python.md has one.
"""

import dataclasses
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Generic, Literal, TypedDict, TypeVar, Unpack, cast

import redis

P = TypeVar("P")
R = TypeVar("R")
State = Literal["waiting", "scheduled", "ready", "claimed", "completed", "failed", "canceled", "expired"]


class Options(TypedDict, total=False):
    """Options of TASK.PUSH; durations in milliseconds."""

    id: str
    priority: int
    delay: int
    ttl: int
    attempts: int
    backoff: int
    lease: int
    timeout: int
    retain: int
    batch: str
    group: str
    unique: str


@dataclasses.dataclass(frozen=True)
class Task(Generic[P]):
    """A claim."""

    id: str
    payload: P
    attempt: int
    lease_ms: int
    checkpoint: bytes | None


@dataclasses.dataclass(frozen=True)
class Outcome(Generic[R]):
    """What became of a task. It has a result if it is completed, an error if it has failed."""

    id: str
    state: State
    result: R | None = None
    error: str | None = None


class Lost(Exception):
    """The task is not ours any more: it was canceled, or another worker has it. Nothing is wrong."""


class Queue(Generic[P, R]):
    def __init__(self, r: redis.Redis, name: str, payload: Callable[[Any], P], result: Callable[[Any], R]) -> None:
        """`payload` and `result` make what was sent of what JSON has of it, and raise if it is something else."""
        self._execute: Callable[..., Any] = r.execute_command
        self.name, self._payload, self._result = name, payload, result

    def push(self, payload: P, **options: Unpack[Options]) -> str:
        """The task's id. It always has one of ours, so the client may say the push again by itself."""
        options.setdefault("id", uuid.uuid4().hex)
        reply: bytes = self._say("PUSH", _json(payload), *(word for option in options.items() for word in option))
        return reply.decode()

    def seal(self, batch: str) -> int:
        """No more tasks will come to the batch; answers how many there are."""
        return int(self._say("SEAL", batch))

    def claim(self, worker: str, block_ms: int = 1000) -> Task[P] | None:
        """A task, or None. The client's socket_timeout has to be longer than block_ms. A payload that cannot be read fails for good."""
        claimed = self._say("CLAIM", "WORKER", worker, "BLOCK", block_ms)
        if claimed is None:
            return None
        id, payload, attempt, lease_ms, checkpoint = claimed
        try:
            return Task(id.decode(), self._payload(json.loads(payload)), attempt, lease_ms, checkpoint)
        except Exception as error:
            self._say("FAIL", id, f"the payload: {error!r}", "ATTEMPT", attempt, "DEAD")
            return None

    def extend(self, task: Task[P], checkpoint: bytes | None = None) -> None:
        """The heartbeat: say it each third of lease_ms."""
        self._say("EXTEND", task.id, "ATTEMPT", task.attempt, *(() if checkpoint is None else ("CHECKPOINT", checkpoint)))

    def complete(self, task: Task[P], result: R) -> None:
        self._say("COMPLETE", task.id, _json(result), "ATTEMPT", task.attempt)

    def fail(self, task: Task[P], error: str) -> State:
        return cast(State, self._say("FAIL", task.id, error, "ATTEMPT", task.attempt).decode())

    def release(self, task: Task[P]) -> None:
        self._say("RELEASE", task.id, "ATTEMPT", task.attempt)

    def outcome(self, id: str, block_ms: int | None = None) -> Outcome[R] | None:
        """What became of a task, at the latest after block_ms; None if there is no such task."""
        reply = self._say("RESULT", id, *(() if block_ms is None else ("BLOCK", block_ms)))
        return None if reply is None else self._outcome(id, *reply)

    def collect(self, batch: str) -> Iterator[Outcome[R]]:
        """The outcomes of a batch as its tasks end, until it is sealed and all have."""
        cursor, remaining = "0", -1
        while remaining != 0:
            cursor, remaining, ends = self._say("COLLECT", batch, cursor, "BLOCK", 1000)
            for id, state, data in ends:
                yield self._outcome(id.decode(), state, data)

    def _outcome(self, id: str, word: bytes, data: bytes | None) -> Outcome[R]:
        state = cast(State, word.decode())
        result = self._result(json.loads(data)) if state == "completed" and data is not None else None
        return Outcome(id, state, result, data.decode(errors="replace") if state == "failed" and data else None)

    def _say(self, command: str, *words: Any) -> Any:
        try:
            return self._execute(f"TASK.{command}", self.name, *words)
        except redis.ResponseError as error:
            if str(error).startswith(("NOTASK", "STALE", "CANCELED", "NOTCLAIMED")):
                raise Lost(str(error)) from None
            raise


def _json(value: Any) -> str:
    return json.dumps(value, default=dataclasses.asdict)

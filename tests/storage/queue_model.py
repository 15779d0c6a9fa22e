"""What the queue of AIVM jobs should do, in plain Python, and the moves that workers make on it.

A move does something to the real queue (``run``, in a transaction) and says whether the model
allows what came of it (``allowed``, which also changes the model). Moves that overlapped are right
when there is an order in which the model allows all of them, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from sqlalchemy import Connection

from lightchallenge_dagster.storage import jobs, queue, watch
from lightchallenge_dagster.storage.queue import Claim, ClaimLost
from tests import builders

OPEN = ("queued", "failed", "processing")
SENT = ("submitted", "done")
OVER = ("dead", "canceled", "skipped")
MAX_ATTEMPTS = 2
LEASE_S = 3600.0
LOST = "lost"

Request = Literal["none", "later", "unsent", "flying", "mined", "failing", "reverted"]
"""How far a job's latest request is. ``later``: unsent until its retry time; ``failing``: mined,
reverted, not final."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the model has it. ``ancient``: another program took it long ago."""

    order: int
    status: str = "queued"
    attempts: int = 0
    token: int = 0
    living: bool = False
    given_back: bool = False
    ancient: bool = False

    @property
    def expired(self) -> bool:
        return self.token > 0 and not self.living


@dataclass(slots=True)
class Model:
    """All jobs by their challenge, how far their requests are, and which challenges still run."""

    jobs: dict[int, Job] = field(default_factory=dict[int, Job])
    requests: dict[int, Request] = field(default_factory=dict[int, Request])
    ended: set[int] = field(default_factory=set[int])
    closed: set[int] = field(default_factory=set[int])

    def copy(self) -> Model:
        return Model(dict(self.jobs), dict(self.requests), set(self.ended), set(self.closed))

    def change(self, challenge_id: int, **values: Any) -> None:
        self.jobs[challenge_id] = replace(self.jobs[challenge_id], **values)

    def hindrance(self, challenge_id: int) -> str | None:
        """Why no worker can do anything for the job now; None when it is due."""
        job = self.jobs[challenge_id]
        request = self.requests.get(challenge_id, "none")
        hindrances = {
            "it is through or over": job.status not in OPEN,
            "its challenge has ended": challenge_id in self.ended,
            "somebody holds it": job.living,
            "another program has it": job.status == "processing"
            and job.token == 0
            and not job.ancient,
            "its request waits for its time": request == "later",
            "its request is the outbox's": request in ("flying", "failing"),
            "no proof is taken any more": challenge_id in self.closed and request != "mined",
        }
        return next((why for why, holds in hindrances.items() if holds), None)

    def due(self) -> list[int]:
        found = [one for one in self.jobs if self.hindrance(one) is None]
        return sorted(found, key=lambda one: self.jobs[one].order)

    def holds(self, claim: Claim) -> bool:
        job = self.jobs[claim.challenge_id]
        return job.living and job.token == claim.token

    def enqueue(self, challenge_id: int, status: str = "queued") -> None:
        order = 1 + max((job.order for job in self.jobs.values()), default=0)
        self.jobs[challenge_id] = Job(order, status)

    def count(self, challenge_id: int) -> None:
        """One more refusal."""
        attempts = self.jobs[challenge_id].attempts + 1
        status = "dead" if attempts >= MAX_ATTEMPTS else "failed"
        self.change(challenge_id, attempts=attempts, status=status)


class Move(Protocol):
    """Something a worker does. ``busy``: jobs that other moves of the moment had their hands on."""

    def run(self, connection: Connection) -> Any: ...

    def allowed(self, model: Model, result: Any, busy: set[int]) -> bool: ...

    def hands_on(self, before: Model, result: Any) -> set[int]: ...


@dataclass(frozen=True, slots=True)
class Take:
    """Claim a batch. One that is ``late`` spends its batch on jobs that others have by then."""

    worker: str
    batch: int
    only: tuple[int, ...] | None = None
    late: bool = False

    def run(self, connection: Connection) -> Any:
        return queue.claim(
            connection,
            self.worker,
            batch=self.batch,
            lease_s=LEASE_S,
            challenge_ids=self.only,
        )

    def allowed(self, model: Model, result: Any, busy: set[int]) -> bool:
        due = [one for one in model.due() if self.only is None or one in self.only]
        taken = {claim.challenge_id for claim in result}
        if len(taken) != len(result) or len(result) > self.batch or not taken <= set(due):
            return False
        if any(claim.token != model.jobs[claim.challenge_id].token + 1 for claim in result):
            return False
        # Nothing is passed over that nobody else had.
        last = max((due.index(one) for one in taken), default=-1)
        spent = len(taken | busy) if self.late else len(taken)
        reach = due[: last + 1] if spent >= self.batch else due
        if not set(reach) <= taken | busy:
            return False
        for claim in result:
            model.change(
                claim.challenge_id,
                status="processing",
                token=claim.token,
                living=True,
                given_back=False,
            )
        return True

    def hands_on(self, before: Model, result: Any) -> set[int]:
        return {claim.challenge_id for claim in result}


@dataclass(frozen=True, slots=True)
class Reap:
    """Put back what dead workers had."""

    def run(self, connection: Connection) -> Any:
        return queue.reap(connection)

    def allowed(self, model: Model, result: Any, busy: set[int]) -> bool:
        dead = _deserted(model)
        if not (set(result) <= dead <= set(result) | busy):
            return False
        for one in result:
            model.change(one, status="failed" if model.jobs[one].attempts else "queued")
        return True

    def hands_on(self, before: Model, result: Any) -> set[int]:
        return _deserted(before)


def _deserted(model: Model) -> set[int]:
    return {
        one
        for one, job in model.jobs.items()
        if job.status == "processing" and job.expired and not job.given_back
    }


@dataclass(frozen=True, slots=True)
class Beat:
    """A worker's heartbeat for all it took at once."""

    claims: tuple[Claim, ...]

    def run(self, connection: Connection) -> Any:
        return queue.renew(connection, self.claims, LEASE_S)

    def allowed(self, model: Model, result: Any, busy: set[int]) -> bool:
        return set(result) == {claim for claim in self.claims if model.holds(claim)}

    def hands_on(self, before: Model, result: Any) -> set[int]:
        return {claim.challenge_id for claim in self.claims}


@dataclass(frozen=True, slots=True)
class GiveBack:
    """A worker goes, and gives back all it took at once."""

    claims: tuple[Claim, ...]

    def run(self, connection: Connection) -> Any:
        queue.release(connection, self.claims)

    def allowed(self, model: Model, result: Any, busy: set[int]) -> bool:
        for claim in self.claims:
            if model.jobs[claim.challenge_id].token == claim.token:
                model.change(claim.challenge_id, living=False, given_back=True)
        return True

    def hands_on(self, before: Model, result: Any) -> set[int]:
        return {claim.challenge_id for claim in self.claims}


Outcome = Literal["put back", "fail", "skipped", "canceled", "submit"]


@dataclass(frozen=True, slots=True)
class Write:
    """A worker writes what came of a job, perhaps long after it lost it."""

    claim: Claim
    outcome: Outcome

    def run(self, connection: Connection) -> Any:
        try:
            queue.hold(connection, self.claim)
        except ClaimLost:
            return LOST
        challenge_id = self.claim.challenge_id
        if self.outcome == "put back":
            return jobs.put_back(connection, challenge_id, "not now")
        if self.outcome == "fail":
            return jobs.record_failure(connection, challenge_id, "NotAdmin", MAX_ATTEMPTS)
        if self.outcome == "submit":
            return jobs.record_submitted(
                connection,
                challenge_id,
                request_id=challenge_id,
                task_id=task(challenge_id),
                tx_hash=None,
                worker=builders.wallet(1),
            )
        return jobs.end(connection, challenge_id, self.outcome, "it is over")

    def allowed(self, model: Model, result: Any, busy: set[int]) -> bool:
        challenge_id = self.claim.challenge_id
        if not model.holds(self.claim):
            return result == LOST
        if result == LOST:
            return False
        status = model.jobs[challenge_id].status
        if self.outcome == "submit" and status in OPEN:
            model.change(challenge_id, status="submitted")
        elif status != "processing":
            return result is None  # it was canceled meanwhile, or written about already
        elif self.outcome == "fail":
            model.count(challenge_id)
            return result == model.jobs[challenge_id].status
        else:
            after = "queued" if self.outcome == "put back" else self.outcome
            model.change(challenge_id, status=after)
        return result is None

    def hands_on(self, before: Model, result: Any) -> set[int]:
        return {self.claim.challenge_id}


@dataclass(frozen=True, slots=True)
class CancelEnded:
    """Cancel the jobs of challenges that ended."""

    def run(self, connection: Connection) -> Any:
        found = jobs.terminal(connection)
        return jobs.cancel(connection, found, "the challenge ended") if found else []

    def allowed(self, model: Model, result: Any, busy: set[int]) -> bool:
        ended = {one for one in model.ended if one in model.jobs}
        if set(result) != {one for one in ended if model.jobs[one].status in OPEN}:
            return False
        for one in result:
            model.change(one, status="canceled")
        return True

    def hands_on(self, before: Model, result: Any) -> set[int]:
        return set(before.ended)


@dataclass(frozen=True, slots=True)
class Enqueue:
    """The dispatcher queues challenges, twice if need be."""

    challenges: tuple[int, ...]

    def run(self, connection: Connection) -> Any:
        return jobs.queue(connection, self.challenges)

    def allowed(self, model: Model, result: Any, busy: set[int]) -> bool:
        fresh = [one for one in self.challenges if one not in model.jobs]
        for one in fresh:
            model.enqueue(one)
        return result == sorted(fresh)

    def hands_on(self, before: Model, result: Any) -> set[int]:
        return set(self.challenges)


@dataclass(frozen=True, slots=True)
class AskAnew:
    """The watch over requests finds one that can never serve its job."""

    challenge_id: int
    answered: bool

    def run(self, connection: Connection) -> Any:
        one = watch.Watched(1, self.challenge_id, task(self.challenge_id), "", "requested")
        return watch.requeue(
            connection, one, "of no use", answered=self.answered, max_attempts=MAX_ATTEMPTS
        )

    def allowed(self, model: Model, result: Any, busy: set[int]) -> bool:
        job = model.jobs.get(self.challenge_id)
        if job is None or job.status not in SENT:
            return result is None
        if self.answered:
            model.count(self.challenge_id)
        else:
            model.change(self.challenge_id, status="queued")
        return result == model.jobs[self.challenge_id].status

    def hands_on(self, before: Model, result: Any) -> set[int]:
        return {self.challenge_id}


def task(challenge_id: int) -> str:
    return f"0x{challenge_id:064x}"


def explanations(
    model: Model, moves: Sequence[Move], results: Sequence[Any], order: Sequence[int]
) -> Iterator[Model]:
    """The states that the moves can have led to, by every order that allows all their results.

    The one by ``order`` comes first. Moves that died, and are not in it, changed nothing but had
    their hands on jobs all the same.
    """
    hands = [move.hands_on(model, result) for move, result in zip(moves, results, strict=True)]

    def go_on(state: Model, left: Sequence[int]) -> Iterator[Model]:
        if not left:
            yield state
        for at in left:
            after = state.copy()
            busy = set[int]().union(*(one for other, one in enumerate(hands) if other != at))
            if moves[at].allowed(after, results[at], busy):
                yield from go_on(after, [one for one in left if one != at])

    return go_on(model, order)

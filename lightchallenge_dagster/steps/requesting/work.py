"""Claimed jobs under way: what is written about each only as long as its claim is held."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lightchallenge_dagster.storage import jobs, queue
from lightchallenge_dagster.storage.queue import Claim, ClaimLost

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from lightchallenge_dagster.chain.contracts import Contracts
    from lightchallenge_dagster.steps.outbox import Outbox


@dataclass(frozen=True, slots=True)
class RequestPolicy:
    """``worker``: the wallet that requests (lowercase); ``request_fee_wei`` goes with each request.

    ``max_attempts`` refusals by the contract make a job ``dead``. ``batch``: jobs per run.
    ``lease_s``: how long a job stays taken after its worker died.
    """

    worker: str
    request_fee_wei: int = 10**15
    max_attempts: int = 10
    batch: int = 20
    lease_s: float = 120.0


@dataclass(frozen=True, slots=True)
class RequestReport:
    """Challenges by what became of their job; ``errors`` says why, as "42: InsufficientFee".

    ``reaped``: jobs taken from workers that died. ``lost``: jobs that another worker has now.
    """

    submitted: list[int] = field(default_factory=list[int])
    pending: list[int] = field(default_factory=list[int])
    waiting: list[int] = field(default_factory=list[int])
    failed: list[int] = field(default_factory=list[int])
    dead: list[int] = field(default_factory=list[int])
    ended: list[int] = field(default_factory=list[int])
    reaped: list[int] = field(default_factory=list[int])
    lost: list[int] = field(default_factory=list[int])
    errors: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class Work:
    """One worker's run over some jobs: where it looks and sends, and what it reports."""

    engine: Engine
    contracts: Contracts
    outbox: Outbox
    policy: RequestPolicy
    report: RequestReport

    @contextmanager
    def writing(self, claim: Claim) -> Generator[Connection]:
        """A transaction about the job, for as long as nobody else has claimed it.

        Raises ``ClaimLost``; then ``lose`` it, and write about it no more.
        """
        with self.engine.begin() as connection:
            queue.hold(connection, claim)
            yield connection

    def lose(self, claim: Claim, error: ClaimLost) -> None:
        """Report a job that is somebody else's by now."""
        self.report.lost.append(claim.challenge_id)
        self.report.errors.append(str(error))

    def put_back(self, claim: Claim, why: str) -> None:
        """Return the job to the queue: nothing was sent, and it was nobody's fault."""
        with self.writing(claim) as connection:
            jobs.put_back(connection, claim.challenge_id, why)
            self.report.waiting.append(claim.challenge_id)

    def fail(self, claim: Claim, error: str) -> None:
        """Count a refusal by a contract against the job."""
        with self.writing(claim) as connection:
            status = jobs.record_failure(
                connection, claim.challenge_id, error, self.policy.max_attempts
            )
            if status is None:
                return  # it was canceled meanwhile: the refusal is nobody's any more
            (self.report.dead if status == "dead" else self.report.failed).append(
                claim.challenge_id
            )

    def end(self, claim: Claim, status: str, why: str) -> None:
        """End the job without a request: ``skipped`` or ``canceled``."""
        with self.writing(claim) as connection:
            jobs.end(connection, claim.challenge_id, status, why)
            self.report.ended.append(claim.challenge_id)


class Heartbeat:
    """Keeps claims alive while their worker is; called at every boundary and while it waits."""

    def __init__(self, engine: Engine, claims: Iterable[Claim], lease_s: float) -> None:
        self._engine = engine
        self._claims = list(claims)
        self._lease_s = lease_s
        self._beaten = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._beaten < self._lease_s / 4:
            return
        self._beaten = time.monotonic()
        with self._engine.begin() as connection:
            # One that is lost is found out by whoever writes about it.
            queue.renew(connection, self._claims, self._lease_s)

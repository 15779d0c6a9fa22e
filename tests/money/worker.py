"""The money steps as a plain process that dies where it is told to.

``python -m tests.money.worker < plan.json`` works one plan: it follows the chain, dispatches,
requests, settles, finalizes, and reclaims, round after round. A plan may name the boundary at
which the process sends itself a real SIGKILL. The private keys come from the environment
(``LCAI_WORKER_PK``, ``LCAI_FINALIZE_PK``), never from the plan. ``hatchery`` forks the same thing
from a process that has everything imported already.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lightchallenge_dagster.chain.contracts import Addresses, Contracts
from lightchallenge_dagster.chain.reader import ChainReader
from lightchallenge_dagster.chain.rpc import Rpc
from lightchallenge_dagster.chain.signer import Signer
from lightchallenge_dagster.errors import LightChallengeError
from lightchallenge_dagster.steps import cancel_jobs, index
from lightchallenge_dagster.steps.dispatch import dispatch, dispatchable
from lightchallenge_dagster.steps.finalize import FinalizePolicy, finalize, overdue
from lightchallenge_dagster.steps.index import IndexPolicy
from lightchallenge_dagster.steps.outbox import Outbox, OutboxPolicy, advanceable
from lightchallenge_dagster.steps.plan import PlanPolicy, refresh_plans
from lightchallenge_dagster.steps.reclaim import reclaim, reclaimable
from lightchallenge_dagster.steps.request import RequestPolicy, request_inferences, requestable
from lightchallenge_dagster.steps.settle import SettlePolicy, settle, unsettled
from lightchallenge_dagster.storage.database import connect

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightchallenge_dagster.devnet.deploy import Deployment

Tell = Callable[[Mapping[str, Any]], None]

STEPS = ("follow", "reclaim", "dispatch", "request", "settle", "finalize")
ROLES = (
    "challengepay",
    "treasury",
    "aivm_inference",
    "task_registry",
    "achievement",
    "metadata_registry",
)
LONGEST_S = 60


@dataclass(frozen=True, slots=True)
class Site:
    """Where a worker works, and how (seconds, blocks). ``rpc_urls`` in order of preference."""

    database_url: str
    rpc_urls: Sequence[str]
    chain_id: int
    start_block: int
    addresses: Mapping[str, str]
    confirmations: int = 1
    index_confirmations: int = 0
    receipt_timeout_s: float = 5.0
    poll_s: float = 0.02
    look_again_s: float = 15.0
    waiting_retry_s: float = 20.0
    lease_s: float = 30.0
    rpc_timeout_s: float = 20.0
    competitive_margin_s: int = 7200

    @classmethod
    def of(cls, deployment: Deployment, database_url: str, **how: Any) -> Site:
        """A deployment and a database; ``rpc_urls`` are the deployment's unless given."""
        return cls(
            database_url=database_url,
            rpc_urls=how.pop("rpc_urls", [deployment.rpc_url]),
            chain_id=deployment.chain_id,
            start_block=deployment.start_block,
            addresses={role: getattr(deployment, role) for role in (*ROLES, "poi_verifier")},
            **how,
        )


@dataclass(frozen=True, slots=True)
class Kill:
    """Die at the ``nth`` time that ``boundary`` is reached by an intent of ``kind``.

    Kinds are ``request bind clear batch proof finalize reclaim``: a batch of proofs is told from
    a single one. Without a boundary: at any of them with ``chance``, drawn from ``seed``.
    """

    boundary: str | None = None
    kind: str | None = None
    nth: int = 1
    chance: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What one process does: ``steps`` over and over, ``rounds`` times or until nothing is due."""

    site: Site
    kill: Kill | None = None
    steps: Sequence[str] = STEPS
    rounds: int = 20
    until_idle: bool = True
    pause_s: float = 0.0
    longest_s: int = LONGEST_S

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        read: dict[str, Any] = json.loads(text)
        kill = read.pop("kill")
        return cls(
            site=Site(**read.pop("site")), kill=None if kill is None else Kill(**kill), **read
        )


def kind_of(key: str) -> str:
    """The kind of an intent by its key, a batch of proofs apart."""
    words = key.split(":")
    return "batch" if words[0] == "proof" and words[2:3] == ["batch"] else words[0]


@dataclass(slots=True)
class Observer:
    """Counts the boundaries as they are passed, and kills this process at the planned one."""

    kill: Kill | None
    tell: Tell
    passed: dict[str, int] = field(default_factory=dict[str, int])
    chance: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self.chance.seed(self.kill.seed if self.kill else 0)

    def __call__(self, boundary: str, key: str) -> None:
        name = f"{kind_of(key)}.{boundary}"
        self.passed[name] = self.passed.get(name, 0) + 1
        kill = self.kill
        if kill is None:
            return
        if kill.boundary is None:
            dies = boundary != "waiting" and self.chance.random() < kill.chance
        else:
            dies = name == f"{kill.kind}.{kill.boundary}" and self.passed[name] == kill.nth
        if dies:
            self.tell({"dies": boundary, "kind": kind_of(key), "key": key})
            os.kill(os.getpid(), signal.SIGKILL)


class Workplace:
    """Engine, node and steps of one plan."""

    def __init__(self, plan: Plan, observe: Callable[[str, str], None]) -> None:
        site = plan.site
        self.plan = plan
        self.engine: Engine = connect(site.database_url, pool_size=2)
        self.rpc = Rpc(list(site.rpc_urls), site.rpc_timeout_s)
        at = site.addresses
        self.contracts = Contracts(self.rpc, Addresses(**at))
        signers = [Signer(os.environ[name]) for name in ("LCAI_WORKER_PK", "LCAI_FINALIZE_PK")]
        worker, finalizer = (signer.address for signer in signers)
        self.outbox = Outbox(
            self.engine,
            self.rpc,
            signers,
            OutboxPolicy(
                site.chain_id,
                confirmations=site.confirmations,
                receipt_timeout_s=site.receipt_timeout_s,
                poll_s=site.poll_s,
                look_again_s=site.look_again_s,
                waiting_retry_s=site.waiting_retry_s,
            ),
            observe=observe,
        )
        self.indexing = IndexPolicy(
            chain_id=site.chain_id,
            addresses={role: at[role] for role in ROLES},
            confirmations=site.index_confirmations,
            start_block=site.start_block,
        )
        self.requests = RequestPolicy(worker, lease_s=site.lease_s)
        self.settling = SettlePolicy(binder=worker, prover=finalizer)
        self.finalizing = FinalizePolicy(finalizer)

    def close(self) -> None:
        self.engine.dispose()
        self.rpc.close()

    def now(self) -> int:
        return self.contracts.latest_timestamp()

    def follow(self) -> None:
        index.follow(
            self.engine,
            ChainReader(self.rpc),
            self.indexing,
            self.contracts.challenge_snapshot,
            achievement=self.contracts.achievement_of,
        )
        refresh_plans(self.engine, PlanPolicy(self.plan.site.competitive_margin_s, 600))

    def reclaim(self) -> None:
        reclaim(self.engine, self.contracts, self.outbox)

    def dispatch(self) -> None:
        dispatch(self.engine, self.now())

    def request(self) -> None:
        request_inferences(self.engine, self.contracts, self.outbox, self.requests)

    def settle(self) -> None:
        settle(self.engine, self.contracts, self.outbox, self.now(), self.settling)

    def finalize(self) -> None:
        finalize(self.engine, self.contracts, self.outbox, self.now(), self.finalizing)

    def due(self) -> dict[str, Any]:
        """What a sensor would launch a run for now, and what is in flight; empty: nothing."""
        now = self.now()
        seen = index.look(self.engine, ChainReader(self.rpc), self.indexing)
        found: dict[str, Any] = {
            "unread": seen.reason if seen.waiting else None,
            # Before the others, for it marks what the indexer has confirmed.
            "advanceable": advanceable(self.engine),
            "cancelable": cancel_jobs.cancelable(self.engine),
            "dispatchable": dispatchable(self.engine, now),
            "requestable": requestable(self.engine),
            "reclaimable": reclaimable(self.engine, now),
            "unsettled": [f"{one.action} {one.subject}" for one in unsettled(self.engine, now)],
            "overdue": overdue(self.engine, now),
        }
        return {name: what for name, what in found.items() if what}


def live(plan: Plan, tell: Tell) -> None:
    """Work the plan to its end, if nothing kills the process first; says what came of it."""
    observer = Observer(plan.kill, tell)
    place = Workplace(plan, observer)
    troubles: list[str] = []
    due: dict[str, Any] = {}
    rounds = 0
    try:
        while rounds < plan.rounds:
            rounds += 1
            for step in plan.steps:
                try:
                    getattr(place, step)()
                except LightChallengeError as error:
                    # What a run may end with: the next round takes it up again.
                    troubles.append(f"{step}: {type(error).__name__}: {error}"[:300])
            if plan.until_idle:
                due = _due(place, troubles)
                if not due:
                    break
            if plan.pause_s:
                time.sleep(plan.pause_s)
    finally:
        place.close()
    tell({"rounds": rounds, "due": due, "troubles": troubles[-5:], "passed": observer.passed})


def _due(place: Workplace, troubles: list[str]) -> dict[str, Any]:
    """What is left to do, with what the round itself has done taken in."""
    try:
        place.follow()
        return place.due()
    except LightChallengeError as error:
        troubles.append(f"due: {type(error).__name__}: {error}"[:300])
        return {"unknown": str(error)[:300]}


def main() -> int:
    plan = Plan.from_json(sys.stdin.read())

    def tell(what: Mapping[str, Any]) -> None:
        sys.stdout.write(json.dumps(what, default=str) + "\n")
        sys.stdout.flush()

    signal.alarm(plan.longest_s)
    try:
        live(plan, tell)
    except Exception:  # noqa: BLE001 — whoever started this reads it
        tell({"crash": traceback.format_exc()})
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""A small world on its way from the dispatch to finalize, kept at each rung to start from.

A rung is a state of chain and database right before one kind of transaction. Cases start from it
over and over: the chain is set back, the database is a copy.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from lightchallenge_dagster.devnet.client import Client
from lightchallenge_dagster.devnet.deploy import Deployment
from lightchallenge_dagster.devnet.network import Network
from lightchallenge_dagster.devnet.processes import Anvil, Postgres
from lightchallenge_dagster.storage.database import connect
from tests import builders
from tests.money.hatchery import Hatchery, Life
from tests.money.oracle import Expected, differences
from tests.money.worker import Plan, Site
from tests.money.world import time_passes
from tests.steps.index_world import open_world
from tests.steps.money_world import BENCHMARK, Money, users

ALICE, BOB, CAROL, DAVE = users("alice", "bob", "carol", "dave")
ERIN, FRANK, GRACE, HEIDI = users("erin", "frank", "grace", "heidi")

RUNGS = {
    "request": None, "bind": "request", "reclaim": "bind", "proof": "bind", "finalize": "proof",
}  # fmt: skip
"""Rung -> the one below it."""

EXPIRED_S = 11 * 60
"""The network commits to a request within ten minutes, or never."""


@dataclass
class Case:
    """One world at a rung: its own copy of the database, the chain set back."""

    ladder: Ladder
    url: str
    expected: list[Expected]

    def site(self) -> Site:
        return Site.of(self.ladder.deployment, self.url)

    def work(self, **how: object) -> Life:
        """A worker process from its start to its end, or to its death."""
        return self.ladder.hatchery.run(Plan(self.site(), **how))

    def time_passes(self) -> None:
        """Leases of the dead run out, and every retry time comes."""
        time_passes(self.url)

    def work_here(self) -> Life:
        """The same in the process that forks the others, which saves the fork."""
        return self.ladder.hatchery.here(Plan(self.site()))

    def finish(self) -> Life:
        """A fresh worker goes on; the network answers, the deadline comes, all is finalized."""
        life = self.work()
        if self.ladder.network.run_until_idle():
            life = self.work_here()
        if self.ladder.client.now() < self.ladder.deadline:
            self.ladder.client.travel_to(self.ladder.deadline)
            life = self.work_here()
        return life

    def differences(self) -> list[str]:
        return differences(self.ladder.client, self.url, self.expected, self.ladder.first_block)


def _database(rung: str) -> str:
    return f"money_rung_{rung}"


def _path(rung: str) -> list[str]:
    """The rungs from the ground to this one."""
    path = [rung]
    while (below := RUNGS[path[0]]) is not None:
        path.insert(0, below)
    return path


@dataclass
class Ladder:
    """The world and its rungs; climbs as far as it is asked to."""

    postgres: Postgres
    anvil: Anvil
    deployment: Deployment
    hatchery: Hatchery
    template: str
    client: Client = field(init=False)
    network: Network = field(init=False)
    first_block: int = 0
    deadline: int = 0
    expected: list[Expected] = field(default_factory=list[Expected])
    # (rung, snapshot, what is expected from there), lowest first
    _pile: list[tuple[str, str, list[Expected]]] = field(
        default_factory=list[tuple[str, str, list[Expected]]]
    )
    _names: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.client = Client(self.deployment)
        self.network = Network.of(self.deployment)

    @contextmanager
    def case(self, rung: str) -> Generator[Case]:
        """A world of one's own at that rung."""
        self._to(rung)
        name = f"money_case_{next(self._names)}"
        url = self.postgres.create(name, template=_database(rung))
        try:
            yield Case(self, url, list(self.expected))
        finally:
            self.postgres.drop(name)

    def warm(self) -> None:
        """Let the hatchery live through a whole case, so that the workers start warm."""
        with self.case("request") as case:
            case.work_here()
            self.network.run_until_idle()
            case.work_here()
            self.client.travel_to(self.deadline)
            case.work_here()

    def close(self) -> None:
        for rung in RUNGS:
            self.postgres.drop(_database(rung))

    def _to(self, rung: str) -> None:
        """Set the chain to that rung, climbing where nobody has been yet."""
        path = _path(rung)
        # Snapshots are a pile: going back to one forgets those above it.
        while self._pile and self._pile[-1][0] not in path:
            self._pile.pop()
        if self._pile:
            at, snapshot, self.expected = self._pile.pop()
            self.anvil.revert(snapshot)
            self._keep(at)
        for at in path[len(self._pile) :]:
            below, name = RUNGS[at], _database(at)
            self.postgres.drop(name)
            template = self.template if below is None else _database(below)
            engine = connect(self.postgres.create(name, template=template))
            try:
                for world in open_world(engine, self.deployment):
                    self._climb(at, Money.of(world))
            finally:
                engine.dispose()
            self._keep(at)

    def _keep(self, rung: str) -> None:
        # anvil keeps states by block hash: no two cases may mine equal blocks.
        self.anvil.rpc("anvil_setCoinbase", f"0x{next(self._names):040x}")
        self.anvil.resume_clock()
        self._pile.append((rung, self.anvil.snapshot(), list(self.expected)))

    # ── the climb ──

    def _climb(self, rung: str, money: Money) -> None:
        {
            "request": self._create,
            "bind": self._request,
            "reclaim": self._expire,
            "proof": self._bind,
            "finalize": self._prove,
        }[rung](money)

    def _create(self, money: Money) -> None:
        """Three that have ended: nobody passed; a competition, three of four win; one passed.

        Everything but money has happened: stakes, verdicts, the closed ranking.
        """
        self.first_block = self.anvil.block_number() + 1
        none = money.challenge([GRACE, HEIDI])
        race = money.challenge([ALICE, BOB, CAROL, DAVE])
        goal = money.challenge([ERIN, FRANK])
        builders.execute(
            money.engine,
            "update public.challenges set proof = proof || cast(:patch as jsonb) where id = :id",
            patch=builders.Jsonb({"params": builders.competitive(3)}),
            id=race,
        )
        money.follow()
        for wallet, score in ((ALICE, 3), (BOB, 9), (CAROL, 7), (DAVE, 5)):
            money.passes(race, wallet, score=score, final_when="ends_at", proved=True)
        money.passes(goal, FRANK)
        money.to_end(goal)
        money.closes(race)
        self.deadline = self.client.challenge(goal).proof_deadline_ts
        money.passes(none, GRACE, passed=False)
        self.expected = [
            Expected(race, frozenset({BOB.address, CAROL.address, DAVE.address})),
            Expected(goal, frozenset({FRANK.address})),
            Expected(none, frozenset(), requests=0),
        ]

    def _request(self, money: Money) -> None:
        """Requested, not answered yet; and somebody has bound the competition's loser."""
        race = self.expected[0]
        asked = [one.challenge_id for one in self.expected if one.requests]
        assert sorted(money.dispatch().queued) == asked
        assert sorted(money.request().submitted) == asked
        request = int(money.proof(race.challenge_id)["taskBinding"]["requestId"])
        self.client.bind(
            self.deployment.admin,
            race.challenge_id,
            ALICE.address,
            request,
            benchmark_hash=BENCHMARK,
        )
        money.follow()
        self.expected[0] = Expected(
            race.challenge_id, race.winners, cleared=frozenset({ALICE.address})
        )

    def _expire(self, money: Money) -> None:
        """Winners bound, and then nobody answered in time: another request, other bindings."""
        assert len(money.settle().bound) == 4
        money.follow()
        self.client.travel(EXPIRED_S)
        money.follow()
        self.expected = [
            replace(one, requests=2, reclaims=1, bindings=2) if one.requests else one
            for one in self.expected
        ]

    def _bind(self, money: Money) -> None:
        """Winners bound, the loser's binding cleared, the request answered."""
        report = money.settle()
        assert (len(report.bound), len(report.cleared)) == (4, 1)
        money.answer()

    def _prove(self, money: Money) -> None:
        """All winners are winners on chain, and the deadline is over."""
        assert len(money.settle().proved) == 4
        money.follow()
        self.client.travel_to(self.deadline)
        money.follow()

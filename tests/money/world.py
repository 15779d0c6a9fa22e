"""The storm's world: challenges of every kind whose verdicts are in and whose end has come."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lightchallenge_dagster.devnet.client import Client
from lightchallenge_dagster.devnet.deploy import Deployment
from lightchallenge_dagster.devnet.wallets import Wallet, user
from lightchallenge_dagster.storage.database import connect
from tests import builders
from tests.money.oracle import Expected, rows
from tests.steps.index_world import open_world
from tests.steps.money_world import Money

Late = Callable[[str], None]
"""Something that comes late, done to the database with this URL."""


@dataclass
class Small:
    """A world at the end of its challenges: what is to come of it, and what still comes late."""

    expected: list[Expected] = field(default_factory=list[Expected])
    late: list[Late] = field(default_factory=list[Late])
    deadline: int = 0

    def missing(self, client: Client) -> list[str]:
        """Winners that are not winners on chain."""
        return [
            f"{one.challenge_id}:{wallet}"
            for one in self.expected
            for wallet in sorted(one.winners)
            if not client.is_winner(one.challenge_id, wallet)
        ]


def build(
    rng: random.Random, deployment: Deployment, database_url: str, *, confirmations: int
) -> Small:
    """Create, join, judge and rank; then the end of all challenges, ``confirmations`` deep."""
    small = Small()
    engine = connect(database_url)
    try:
        for world in open_world(engine, deployment):
            money = Money.of(world)
            for kind in [*_KINDS, *rng.sample(list(_KINDS), rng.randint(0, 2))]:
                kind(rng, money, small)
            money.client.travel_to(max(_end(money, one) for one in small.expected))
            money.client.node.call("anvil_mine", hex(confirmations + 1))
            money.follow()
            for one in small.expected:
                if _mode(money, one.challenge_id) == "competitive":
                    money.closes(one.challenge_id)
            small.deadline = max(
                money.client.challenge(one.challenge_id).proof_deadline_ts for one in small.expected
            )
    finally:
        engine.dispose()
    return small


def time_passes(database_url: str) -> None:
    """The leases of the dead run out, and every retry time comes."""
    for statement in (
        "update pipeline.leases set expires_at = '-infinity' returning 1",
        "update pipeline.job_claims set expires_at = '-infinity' returning 1",
        "update pipeline.intents set retry_at = now() where retry_at is not null returning 1",
    ):
        rows(database_url, statement)


def _end(money: Money, one: Expected) -> int:
    return money.client.challenge(one.challenge_id).end_ts


def _mode(money: Money, challenge_id: int) -> str:
    ((mode,),) = builders.rows(
        money.engine,
        "select mode from pipeline.challenge_plans where challenge_id = :id",
        id=challenge_id,
    )
    return mode


def _people(small: Small, count: int) -> list[Wallet]:
    """Wallets that no other challenge of this world has."""
    return [user(f"storm {len(small.expected)} {number}") for number in range(count)]


# ── the kinds of challenges ─────────────────────────────────────────────────────────────────


def _threshold(rng: random.Random, money: Money, small: Small) -> None:
    """Some pass, one passes late, one does not; and somebody without stake passes."""
    people = _people(small, 5)
    stranger = user(f"storm stranger {len(small.expected)}")
    challenge = money.challenge(people, duration_s=HOURS)
    now, late = people[: rng.randint(1, 3)], people[3]
    for one in now:
        money.passes(challenge, one)
    money.passes(challenge, people[4], passed=False)
    money.passes(challenge, stranger)
    at = money.now()

    def passes_late(database_url: str) -> None:
        engine = connect(database_url)
        try:
            builders.verdict(
                engine, challenge, late.address, score=6, at=datetime.fromtimestamp(at, UTC)
            )
            builders.judgement(engine, challenge, late.address)
        finally:
            engine.dispose()

    small.late.append(passes_late)
    small.expected.append(Expected(challenge, frozenset(one.address for one in [*now, late])))


def _competition(rng: random.Random, money: Money, small: Small) -> None:
    """The best with stake win; the best of all has none."""
    people = _people(small, rng.randint(3, 5))
    stranger = user(f"storm stranger {len(small.expected)}")
    top = rng.randint(1, 3)
    challenge = money.challenge(people, duration_s=HOURS)
    builders.execute(
        money.engine,
        "update public.challenges set proof = proof || cast(:patch as jsonb) where id = :id",
        patch=builders.Jsonb({"params": builders.competitive(top)}),
        id=challenge,
    )
    money.follow()
    scores = rng.sample(range(1, 50), len(people))
    for one, score in zip(people, scores, strict=True):
        money.passes(challenge, one, score=score, final_when="ends_at", proved=True)
    money.passes(challenge, stranger, score=99, final_when="ends_at", proved=True)
    ranked = sorted(zip(scores, people, strict=True), key=lambda pair: -pair[0])
    small.expected.append(Expected(challenge, frozenset(one.address for _, one in ranked[:top])))


def _nobody_passes(rng: random.Random, money: Money, small: Small) -> None:
    """No request is paid for it, and it is finalized all the same."""
    people = _people(small, 2)
    challenge = money.challenge(people, duration_s=HOURS)
    if rng.random() < 0.5:
        money.passes(challenge, people[1], passed=False)
    small.expected.append(Expected(challenge, frozenset(), requests=0))


HOURS = 2 * 3600
_KINDS = (_threshold, _competition, _nobody_passes)

"""A node may say what it wants: every effect once, every winner paid, no nonce stuck."""

from __future__ import annotations

from collections import Counter

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.devnet.deploy import Deployment
from tests.money.lying import RATES
from tests.money.lying_kinds import KINDS
from tests.money.lying_story import ALICE, Story
from tests.money.lying_world import LiedTo, Sent, lied_to, sent_by

COMPANIONS = {
    "receipt_orphaned": ["reorg_moved"],
    "branch_orphaned": ["reorg_lost"],
    "branch_split": ["reorg_lost"],
    "transaction_unknown": ["send_taken_nonce_low"],
    "past_count_high": ["send_nonce_low"],
}
"""Lies that nobody would hear without another."""
SEEDS = range(20)

_played: set[int] = set()
_told: Counter[str] = Counter()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_lie_at_every_occasion_costs_time_and_nothing_else(
    database: Engine, devnet: Deployment, kind: str
) -> None:
    with lied_to(database, devnet, kind, timeout_s=0.3 if "hang" in kind else 5.0) as money:
        story = Story.of_one(money)
        lying_rounds = 2 if kind.startswith("send") else 1

        def lie_at_first(number: int) -> None:
            if number < lying_rounds:
                money.node.lie(kind, *COMPANIONS.get(kind, ()))
            else:
                money.node.tell_the_truth()

        story.before_round = lie_at_first
        story.tell(in_parts=True)
        story.check()
        assert money.node.counts[kind] > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_node_that_lies_in_every_way_makes_no_double_effect_and_loses_no_winner(
    database: Engine, devnet: Deployment, seed: int
) -> None:
    with lied_to(database, devnet, seed, receipt_timeout_s=0.1 * (seed % 2)) as money:
        story = Story.of_two(money)
        money.node.mix()
        story.tell()
        story.check()
        _played.add(seed)
        _told.update(money.node.counts)


def test_these_seeds_told_nearly_every_kind_of_lie() -> None:
    """Which request comes first depends a little on the machine; each kind alone is a slow test."""
    if _played != set(SEEDS):
        pytest.skip("not all seeds were played here")
    untold = {kind for kind, rate in RATES.items() if rate} - _told.keys()
    assert len(untold) <= len(RATES) // 8, sorted(untold)


@pytest.mark.parametrize("seed", range(100, 102))
def test_two_workers_at_once_behind_a_node_that_lies_do_no_more_than_one(
    database: Engine, devnet: Deployment, seed: int
) -> None:
    with lied_to(database, devnet, seed) as money:
        story = Story.of_two(money)
        money.joined()
        money.node.mix()
        story.tell()
        story.check()


def test_an_honest_node_tells_the_same_story(database: Engine, devnet: Deployment) -> None:
    with lied_to(database, devnet) as money:
        story = Story.of_two(money)
        story.tell()
        story.check()
        assert money.failed == []


# ── the dangerous combinations ──────────────────────────────────────────────────────────


def request_transactions(money: LiedTo) -> list[Sent]:
    story_worker = money.world.deployment.worker
    return [one for one in sent_by(money, story_worker, 0) if one.value_wei]


def test_a_request_is_not_signed_anew_while_its_nonce_is_used_and_everything_of_it_is_denied(
    database: Engine, devnet: Deployment
) -> None:
    with lied_to(database, devnet) as money:
        story = Story.of_one(money)
        money.node.lie(
            "send_taken_nonce_low", "receipt_missing", "transaction_unknown", "past_count_high"
        )
        for _ in range(8):
            money.one_round(["dispatch", "request"])
        (stored,) = money.world.rows("select * from pipeline.transactions")
        (intent,) = money.world.rows("select * from pipeline.intents")
        assert (intent["status"], intent["nonce"]) in [
            ("signed", stored["nonce"]),
            ("broadcast", stored["nonce"]),
        ]
        assert len(request_transactions(money)) == 1
        money.node.tell_the_truth()
        story.tell()
        story.check()


def test_a_request_that_nobody_forwarded_keeps_its_nonce_whatever_is_counted(
    database: Engine, devnet: Deployment
) -> None:
    with lied_to(database, devnet) as money:
        story = Story.of_one(money)
        money.node.lie("send_nonce_low", "past_count_high", "mined_high")
        for _ in range(8):
            money.one_round(["dispatch", "request"])
        nonces = {
            row["nonce"]
            for row in money.world.rows(
                "select * from pipeline.transactions where intent_key like 'request:%'"
            )
        }
        assert len(nonces) == 1
        assert request_transactions(money) == []
        money.node.tell_the_truth()
        story.tell()
        story.check()


def test_a_nonce_that_somebody_else_used_is_given_up_at_depth_and_not_before(
    database: Engine, devnet: Deployment
) -> None:
    with lied_to(database, devnet) as money:
        story = Story.of_one(money)
        money.node.lie("send_swallowed")
        money.dispatch()
        money.request()
        worker = money.world.deployment.worker
        money.client.node.transact(worker, ALICE.address, "0x")
        money.node.lie("receipt_missing", "transaction_unknown")
        money.retry_now()
        money.request()
        (stored,) = money.world.rows("select * from pipeline.transactions")
        assert stored["receipt_status"] is None
        for _ in range(4):
            money.one_round(["request"])
        signed = money.world.rows("select * from pipeline.transactions order by nonce")
        assert [one["receipt_status"] for one in signed] == [-1, None]
        assert [one["nonce"] for one in signed] == [stored["nonce"], stored["nonce"] + 1]
        money.node.tell_the_truth()
        story.tell()
        assert len(request_transactions(money)) == 1


def test_what_a_lost_branch_holds_is_not_final_however_far_the_head_has_gone(
    database: Engine, devnet: Deployment
) -> None:
    with lied_to(database, devnet) as money:
        story = Story.of_one(money)
        money.dispatch()
        money.request()
        money.node.lie("reorg_lost", "send_swallowed", times=1)
        money.outbox().resume()
        assert money.node.counts["reorg_lost"] == 1
        assert request_transactions(money) == []
        money.node.lie("branch_split")
        for _ in range(3):
            money.one_round()
        money.node.tell_the_truth()
        story.tell()
        story.check()

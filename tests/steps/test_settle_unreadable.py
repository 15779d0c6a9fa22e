"""While a challenge's rule cannot be read nobody new is paid, and nobody loses what they have."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.devnet.deploy import Deployment
from lightchallenge_dagster.devnet.wallets import Wallet
from lightchallenge_dagster.steps import judge
from lightchallenge_dagster.steps.finalize import held_back, overdue
from lightchallenge_dagster.storage import verdicts
from tests import builders
from tests.steps.index_world import open_world
from tests.steps.money_world import HOUR, Money, users
from tests.steps.test_settle import a_competition, bound, competitive, ranking_state, set_mode

ALICE, BOB, CAROL = users("alice", "bob", "carol")


@pytest.fixture
def money(database: Engine, devnet: Deployment) -> Iterator[Money]:
    for world in open_world(database, devnet):
        yield Money.of(world)


def misspelled(params: dict[str, Any]) -> dict[str, Any]:
    """A competition's ``params`` with a mode that nobody knows."""
    return {"rule": params["rule"] | {"mode": "competitve"}}


def judged_as_it_is(money: Money, challenge: int) -> None:
    """As if everybody was judged by the rule as it is now, with the outcome they have."""
    with money.engine.connect() as connection:
        known = verdicts.pending(connection, challenge_ids=[challenge], everything=True)
    for one in known:
        builders.execute(
            money.engine,
            "update pipeline.judgements set inputs_hash = :inputs where subject = :subject",
            inputs=one.inputs_hash,
            subject=one.subject,
        )


def judged(money: Money) -> None:
    for day in judge.pending(money.engine):
        judge.judge(money.engine, day, datetime.fromtimestamp(money.now(), UTC))


def an_open_competition(money: Money, *, passed: bool = True) -> tuple[int, dict[str, Any]]:
    """Three ran, the best one is to win; it has ended, was answered, and is not closed yet."""
    challenge = money.challenge([ALICE, BOB, CAROL], proof_window_s=6 * HOUR)
    params = competitive(money, challenge, 1)
    for wallet, score in ((ALICE, 3), (BOB, 9), (CAROL, 7)):
        money.passes(challenge, wallet, score=score, final_when="ends_at", proved=True)
    money.to_end(challenge)
    money.closes(challenge)
    assert ranking_state(money) == "provisional"
    money.requested(challenge)
    money.answer()
    set_mode(money, challenge, misspelled(params))
    builders.execute(money.engine, "update public.verdicts set pass = :passed", passed=passed)
    judged_as_it_is(money, challenge)
    return challenge, params


def a_bound_winner(money: Money) -> int:
    """Bob ran far enough and is bound; then the rule is made one that cannot be read."""
    challenge = money.challenge([ALICE, BOB])
    ran = {"type": "run", "start_ts": money.now() + 1, "duration_s": 60, "distance_km": 9}
    builders.evidence(money.engine, challenge, BOB.address, [ran])
    judged(money)
    money.requested(challenge)
    assert money.settle().bound == [f"{challenge}:{BOB.address}"]
    money.answer()
    set_mode(money, challenge, {"rules": {"type": "fitness", "metric": "distnace_km"}})
    judged(money)
    return challenge


def bind_by_hand(money: Money, challenge: int, wallet: Wallet) -> None:
    request_id = int(money.proof(challenge)["taskBinding"]["requestId"])
    money.client.bind(money.world.deployment.worker, challenge, wallet.address, request_id)
    money.follow()


def test_a_mode_that_cannot_be_read_pays_nobody_until_it_was_corrected(money: Money) -> None:
    challenge, params = an_open_competition(money)
    assert money.work() == []
    assert money.settle().bound == []
    assert bound(money, challenge, ALICE, BOB, CAROL) == []
    set_mode(money, challenge, params)
    judged_as_it_is(money, challenge)
    deadline = money.client.challenge(challenge).proof_deadline_ts
    money.client.travel_to(deadline - HOUR)
    money.follow()
    money.closes(challenge)
    money.settle()
    assert money.winners(challenge, [ALICE, BOB, CAROL]) == [BOB.address]


@pytest.mark.parametrize("passed", [True, False])
def test_a_competition_whose_mode_cannot_be_read_is_not_finalized_whoever_passes_without_it(
    money: Money, passed: bool
) -> None:
    challenge, _ = an_open_competition(money, passed=passed)
    money.to_deadline(challenge)
    assert overdue(money.engine, money.now()) == []
    assert [one.challenge_id for one in held_back(money.engine, money.now())] == [challenge]
    assert money.finalize().finalized == []


def test_a_bound_winner_stays_bound_while_the_rule_cannot_be_read_and_is_proved_afterwards(
    money: Money,
) -> None:
    challenge = a_bound_winner(money)
    assert money.work() == []
    report = money.settle()
    assert (report.cleared, report.proved) == ([], [])
    assert bound(money, challenge, ALICE, BOB) == [BOB.address]
    money.to_deadline(challenge)
    money.client.travel(60)
    money.follow()
    assert money.work() == []
    assert overdue(money.engine, money.now()) == []
    (held,) = held_back(money.engine, money.now())
    assert (held.challenge_id, held.missing) == (challenge, [BOB.address])
    set_mode(money, challenge, builders.distance_rule(5))
    money.client.move_proof_deadline(challenge, money.now() + 600)
    money.follow()
    judged(money)
    assert money.settle().proved == [f"{challenge}:{BOB.address}"]
    money.follow()
    money.to_deadline(challenge)
    assert money.finalize().finalized == [challenge]
    assert money.client.challenge(challenge).outcome == 1


def test_a_bound_winner_stays_bound_when_the_rule_became_a_competition_that_cannot_be_read(
    money: Money,
) -> None:
    challenge = a_bound_winner(money)
    params = builders.competitive(1)
    set_mode(money, challenge, {"rule": params["rule"] | {"topN": "three"}})
    judged(money)
    assert money.work() == []
    assert bound(money, challenge, BOB) == [BOB.address]


def test_a_bound_loser_is_unbound_whether_or_not_the_rule_can_be_read(money: Money) -> None:
    challenge = a_bound_winner(money)
    bind_by_hand(money, challenge, ALICE)
    assert money.work() == [("clear", ALICE.address)]
    assert money.settle().cleared == [f"{challenge}:{ALICE.address}"]
    assert bound(money, challenge, ALICE, BOB) == [BOB.address]


def test_a_closed_ranking_is_the_order_of_payment_though_the_mode_cannot_be_read_since(
    money: Money,
) -> None:
    challenge = a_competition(money, {ALICE: 3, BOB: 9, CAROL: 7}, top_n=1)
    set_mode(money, challenge, misspelled(builders.competitive(1)))
    builders.execute(money.engine, "update public.verdicts set pass = true")
    bind_by_hand(money, challenge, ALICE)
    assert money.work() == [("clear", ALICE.address), ("bind", BOB.address)]
    report = money.settle()
    assert report.frozen == [challenge]
    assert ranking_state(money) == "frozen"
    assert bound(money, challenge, ALICE, BOB, CAROL) == [BOB.address]
    assert money.winners(challenge, [ALICE, BOB, CAROL]) == [BOB.address]
    money.follow()
    assert money.work() == []


def test_a_winner_of_a_frozen_ranking_is_neither_unbound_nor_left_unproved_by_a_later_problem(
    money: Money,
) -> None:
    challenge = money.challenge([ALICE, BOB, CAROL])
    competitive(money, challenge, 1)
    for wallet, score in ((ALICE, 3), (BOB, 9), (CAROL, 7)):
        money.passes(challenge, wallet, score=score, final_when="ends_at", proved=True)
    money.to_end(challenge)
    money.closes(challenge)
    money.requested(challenge)
    assert money.settle().bound == [f"{challenge}:{BOB.address}"]
    assert ranking_state(money) == "frozen"
    set_mode(money, challenge, misspelled(builders.competitive(1)))
    judged(money)
    assert money.work() == []
    money.answer()
    assert money.work() == [("proof", BOB.address)]
    assert money.settle().proved == [f"{challenge}:{BOB.address}"]

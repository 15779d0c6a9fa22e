"""Finalize what is over, and nothing while a winner could still be saved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.devnet.deploy import Deployment
from lightchallenge_dagster.steps import judge
from lightchallenge_dagster.steps.finalize import held_back, overdue
from lightchallenge_dagster.steps.outbox import advanceable
from lightchallenge_dagster.steps.settling.noting import record_transactions
from lightchallenge_dagster.storage import settlement
from tests import builders
from tests.steps.index_world import open_world
from tests.steps.money_world import Money, users

ALICE, BOB, CAROL = users("alice", "bob", "carol")


class Killed(BaseException):
    """The process's end."""


@pytest.fixture
def money(database: Engine, devnet: Deployment) -> Iterator[Money]:
    for world in open_world(database, devnet):
        yield Money.of(world)


def finalized(money: Money) -> list[int]:
    return [event.args["id"] for event in money.events("challengepay", "Finalized")]


def test_a_challenge_nobody_passes_is_finalized_without_a_job(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.to_end(challenge)
    assert overdue(money.engine, money.now()) == []
    money.to_deadline(challenge)
    assert overdue(money.engine, money.now()) == [challenge]
    assert money.finalize().finalized == [challenge]
    assert overdue(money.engine, money.now()) == []
    proof = money.proof(challenge)
    assert proof["finalizationAttempted"] is True
    assert proof["finalizationSuccess"] is True
    assert proof["lastFinalizationError"] is None
    assert len(proof["finalizeTxHash"]) == 66
    assert proof["proofsSubmitted"] == 0
    money.follow()
    assert money.idle()
    assert finalized(money) == [challenge]


def test_a_paid_challenge_is_finalized_with_its_winner(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.requested(challenge)
    money.settle()
    money.answer()
    money.settle()
    money.follow()
    money.to_deadline(challenge)
    assert held_back(money.engine, money.now()) == []
    assert money.finalize().finalized == [challenge]
    assert money.client.challenge(challenge).outcome == 1
    assert money.proof(challenge)["proofsSubmitted"] == 1


def test_a_missed_winner_holds_finalize_back_until_the_deadline_is_moved(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.requested(challenge)
    money.settle()
    money.answer()
    money.to_deadline(challenge)
    money.client.travel(60)
    money.follow()
    assert overdue(money.engine, money.now()) == []
    (held,) = held_back(money.engine, money.now())
    assert (held.challenge_id, held.missing) == (challenge, [BOB.address])
    assert money.finalize().held_back == [challenge]
    assert finalized(money) == []
    money.client.move_proof_deadline(challenge, money.now() + 600)
    money.follow()
    assert money.settle().proved == [f"{challenge}:{BOB.address}"]
    money.follow()
    money.to_deadline(challenge)
    assert money.finalize().finalized == [challenge]
    assert money.client.challenge(challenge).outcome == 1


def test_the_operator_may_finalize_although_a_winner_is_missing(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.to_deadline(challenge)
    assert overdue(money.engine, money.now()) == []
    assert overdue(money.engine, money.now(), despite_missing_winners=True) == [challenge]
    money.finalizing = replace(money.finalizing, despite_missing_winners=True)
    assert money.finalize().finalized == [challenge]
    assert money.client.challenge(challenge).outcome == 2


def test_evidence_that_nobody_judged_yet_holds_finalize_back(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    ran = {"type": "run", "start_ts": money.now(), "duration_s": 1, "distance_km": 1}
    builders.evidence(money.engine, challenge, CAROL.address, [ran])
    money.to_deadline(challenge)
    assert overdue(money.engine, money.now()) == [challenge]  # Carol has no stake
    builders.evidence(money.engine, challenge, BOB.address, [ran])
    assert overdue(money.engine, money.now()) == []
    (held,) = held_back(money.engine, money.now())
    assert held.reason == "evidence of its stakers is not judged yet"
    assert money.finalize().held_back == [challenge]
    for day in judge.pending(money.engine):
        judge.judge(money.engine, day, datetime.fromtimestamp(money.now(), UTC))
    assert money.finalize().finalized == [challenge]


def test_a_pass_of_an_earlier_worker_without_evidence_holds_finalize_back(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    builders.verdict(money.engine, challenge, BOB.address.upper().replace("X", "x"))
    money.to_deadline(challenge)
    assert overdue(money.engine, money.now()) == []
    (held,) = held_back(money.engine, money.now())
    assert held.missing == [BOB.address]


def test_nothing_is_finalized_before_the_chain_is_read_up_to_the_deadline(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.client.travel_to(money.client.challenge(challenge).proof_deadline_ts + 1)
    assert money.finalize().finalized == []
    money.follow()
    assert money.finalize().finalized == [challenge]


def test_a_ranking_that_names_winners_and_has_not_closed_holds_finalize_back(
    money: Money,
) -> None:
    challenge = money.challenge([ALICE, BOB])
    builders.execute(
        money.engine,
        "update public.challenges set proof = proof || cast(:patch as jsonb)",
        patch=builders.Jsonb({"params": builders.competitive(1)}),
    )
    money.follow()
    money.passes(challenge, BOB, score=9, final_when="ends_at", proved=True)
    money.closes(challenge)
    money.to_deadline(challenge)
    assert overdue(money.engine, money.now()) == []
    (held,) = held_back(money.engine, money.now())
    assert "ranking has not closed" in held.reason


def test_a_competition_that_was_never_ranked_is_held_back_as_long_as_somebody_could_win(
    money: Money,
) -> None:
    challenge = money.challenge([ALICE, BOB])
    builders.execute(
        money.engine,
        "update public.challenges set proof = proof || cast(:patch as jsonb)",
        patch=builders.Jsonb({"params": builders.competitive(1)}),
    )
    money.follow()
    money.to_deadline(challenge)
    assert overdue(money.engine, money.now()) == [challenge]
    money.passes(challenge, BOB, score=9, final_when="ends_at", proved=True)
    assert overdue(money.engine, money.now()) == []


def test_a_paused_challenge_is_not_finalized(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.to_deadline(challenge)
    money.client.pause(challenge)
    # The table does not know of the pause yet, the chain does.
    assert money.finalize().waiting == [challenge]
    money.follow()
    assert overdue(money.engine, money.now()) == []
    money.client.pause(challenge, False)
    money.follow()
    money.retry_now()
    assert money.finalize().finalized == [challenge]


def test_before_the_deadline_is_waiting_and_not_failure(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.to_deadline(challenge)
    later = money.now() + 600
    money.client.move_proof_deadline(challenge, later)
    report = money.finalize()
    assert report.waiting == [challenge]
    assert report.errors == [f"{challenge}: BeforeDeadline"]
    assert "finalizationAttempted" not in money.proof(challenge)
    assert overdue(money.engine, money.now()) == []
    money.client.travel_to(later)
    money.follow()
    money.retry_now()
    assert money.finalize().finalized == [challenge]


def test_a_challenge_somebody_else_finalized_is_done(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.to_deadline(challenge)
    money.client.finalize(ALICE, challenge)
    assert money.finalize().finalized == [challenge]
    assert money.proof(challenge)["finalizationSuccess"] is True
    assert money.transactions("finalize") == 0
    assert overdue(money.engine, money.now()) == []
    money.follow()
    assert money.idle()


def test_a_canceled_challenge_is_left_alone(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.client.cancel(ALICE, challenge)
    money.to_deadline(challenge)
    assert overdue(money.engine, money.now()) == []
    assert money.finalize().finalized == []


def test_a_global_pause_waits(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.to_deadline(challenge)
    money.client.pause_all()
    assert money.finalize().errors == [f"{challenge}: GlobalPausedError"]
    assert overdue(money.engine, money.now()) == []
    money.client.pause_all(False)
    money.retry_now()
    assert money.finalize().finalized == [challenge]


@pytest.mark.parametrize(
    "boundary",
    ["planned", "simulated", "signed", "stored", "sent", "broadcast", "receipt", "mined", "noted"],
)
def test_a_death_while_finalizing_leaves_one_finalization_and_a_true_row(
    money: Money, boundary: str
) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.to_deadline(challenge)

    def die(reached: str, _key: str) -> None:
        if reached == boundary:
            raise Killed

    money.observe = die
    with pytest.raises(Killed):
        money.finalize()
    money.observe = lambda _boundary, _key: None
    money.finalize()
    money.finalize()
    money.follow()
    assert finalized(money) == [challenge]
    assert money.transactions("finalize") == 1
    proof = money.proof(challenge)
    assert proof["finalizationSuccess"] is True
    assert len(proof["finalizeTxHash"]) == 66
    assert money.idle()


def test_a_finalization_that_a_reorg_took_out_is_no_success_until_it_is_mined_again(
    money: Money,
) -> None:
    money.policy = replace(money.policy, confirmations=20, receipt_timeout_s=0.1)
    challenge = money.challenge([ALICE, BOB])
    money.to_deadline(challenge)
    call = money.world.rpc.call
    before = call("evm_snapshot", [])
    money.finalize()
    told = money.proof(challenge)
    assert told["finalizationSuccess"] is True
    call("evm_revert", [before])
    call("evm_setAutomine", [False])
    try:
        money.finalize()
        undone = money.proof(challenge)
        assert undone["finalizationSuccess"] is False
        assert undone["finalizationAttempted"] is True
        assert undone["finalizeTxHash"] is None
        assert "reorg" in undone["lastFinalizationError"]
    finally:
        call("evm_setAutomine", [True])
    call("evm_mine", [])
    money.finalize()
    assert money.proof(challenge) == told
    assert money.transactions("finalize") == 1


def test_what_a_run_read_before_a_reorg_was_over_does_not_take_back_what_another_noted_since(
    money: Money, monkeypatch: pytest.MonkeyPatch
) -> None:
    money.policy = replace(money.policy, confirmations=20, receipt_timeout_s=0.1)
    challenge = money.challenge([ALICE, BOB])
    money.to_deadline(challenge)
    call = money.world.rpc.call
    before = call("evm_snapshot", [])
    money.finalize()
    told = money.proof(challenge)
    call("evm_revert", [before])
    call("evm_setAutomine", [False])
    try:
        money.outbox().resume()
    finally:
        call("evm_setAutomine", [True])
    assert [one.patch["finalizationSuccess"] for one in untold(money)] == [False]
    read = settlement.chain_winners

    def meanwhile(*asked: Any) -> Any:
        monkeypatch.setattr(settlement, "chain_winners", read)
        call("evm_mine", [])
        money.outbox().resume()
        record_transactions(money.engine, money.world.contracts)
        assert untold(money) == []
        return read(*asked)

    monkeypatch.setattr(settlement, "chain_winners", meanwhile)
    record_transactions(money.engine, money.world.contracts)
    assert money.proof(challenge) == told


def untold(money: Money) -> list[settlement.Untold]:
    with money.engine.begin() as connection:
        return settlement.untold(connection)


@pytest.mark.parametrize("noted", ["by the index", "by our transaction"])
def test_a_node_that_is_behind_takes_no_success_back(money: Money, noted: str) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.to_deadline(challenge)
    if noted == "by the index":
        money.client.finalize(ALICE, challenge)
        assert money.finalize().finalized == [challenge]
        money.follow()
    else:
        assert money.finalize().finalized == [challenge]
    with money.engine.begin() as connection:
        settlement.note_undone(connection, challenge, "a node that is behind says Active")
    assert money.proof(challenge)["finalizationSuccess"] is True


def test_a_finalization_on_its_way_is_an_attempt_and_no_success(money: Money) -> None:
    money.policy = replace(money.policy, receipt_timeout_s=0.1)
    challenge = money.challenge([ALICE, BOB])
    money.to_deadline(challenge)
    call = money.world.rpc.call
    call("evm_setAutomine", [False])
    try:
        assert money.finalize().pending == [challenge]
        proof = money.proof(challenge)
        assert proof["finalizationAttempted"] is True
        assert not proof.get("finalizationSuccess")
    finally:
        call("evm_setAutomine", [True])
    call("evm_mine", [])
    money.finalize()
    assert money.proof(challenge)["finalizationSuccess"] is True


def test_a_finalization_of_somebody_else_that_a_reorg_took_out_is_no_success(
    money: Money,
) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.to_deadline(challenge)
    before = money.world.rpc.call("evm_snapshot", [])
    money.client.finalize(ALICE, challenge)
    assert money.finalize().finalized == [challenge]
    assert money.proof(challenge)["finalizationSuccess"] is True
    money.world.rpc.call("evm_revert", [before])
    money.client.pause(challenge)
    money.retry_now()
    assert money.finalize().waiting == [challenge]
    assert money.proof(challenge)["finalizationSuccess"] is False
    money.client.pause(challenge, False)
    money.retry_now()
    assert money.finalize().finalized == [challenge]
    assert money.proof(challenge)["finalizationSuccess"] is True


def test_a_finalization_noted_by_a_run_that_died_is_told_by_the_next_settlement(
    money: Money,
) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.to_deadline(challenge)

    def die(reached: str, _key: str) -> None:
        if reached == "mined":
            raise Killed

    money.observe = die
    with pytest.raises(Killed):
        money.finalize()
    assert "finalizationSuccess" not in money.proof(challenge)
    money.observe = lambda _boundary, _key: None
    money.settle()
    assert money.proof(challenge)["finalizationSuccess"] is True


def test_a_finalization_that_a_reorg_took_out_after_it_was_final_is_sent_again(
    money: Money,
) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.to_deadline(challenge)
    before = money.world.rpc.call("evm_snapshot", [])
    money.finalize()
    money.follow()
    assert money.idle()
    money.world.rpc.call("evm_revert", [before])
    # Another branch, higher than the one that was indexed.
    for _ in range(3):
        money.client.travel(10)
    money.follow()
    assert advanceable(money.engine) == [f"finalize:{challenge}"]
    money.finalize()
    assert money.proof(challenge)["finalizationSuccess"] is False
    money.finalize()
    assert money.client.challenge(challenge).status == 1
    assert money.proof(challenge)["finalizationSuccess"] is True
    assert len(finalized(money)) == 1
    # Sent at the very nonce it had, or dearer.
    nonces = "select distinct nonce from pipeline.transactions where signer = :signer"
    assert len(builders.rows(money.engine, nonces, signer=money.finalizing.finalizer)) == 1
    money.follow()
    assert money.idle()

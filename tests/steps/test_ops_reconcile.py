"""Reconcile finds what was tampered with, mends what is ours to mend, and sends nothing ever."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.devnet.deploy import Deployment
from lightchallenge_dagster.errors import PermanentError, TransientError
from lightchallenge_dagster.steps.ops.reconcile import ReconcileReport
from lightchallenge_dagster.steps.ops.reconcile import reconcile as step
from tests import builders as b
from tests.orchestration.ops_world import everything
from tests.steps.index_world import open_world
from tests.steps.money_world import Money, users

ANN, BOB, CEY = users("ann", "bob", "cey")


@pytest.fixture
def money(database: Engine, devnet: Deployment) -> Iterator[Money]:
    for world in open_world(database, devnet):
        yield Money.of(world)


def reconcile(money: Money, **options: Any) -> ReconcileReport:
    return step(money.engine, money.world.contracts, money.world.policy, **options)


def paid(money: Money) -> int:
    """A challenge whose winner is proved and that is finalized, as the pipeline leaves it."""
    challenge = money.challenge([ANN, BOB, CEY])
    money.passes(challenge, ANN)
    money.passes(challenge, BOB, passed=False)
    money.requested(challenge)
    money.settle()
    money.answer()
    money.settle()
    money.follow()
    money.to_deadline(challenge)
    money.finalize()
    money.follow()
    return challenge


def bound(money: Money) -> int:
    """A challenge whose winner is bound, before the network answers."""
    challenge = money.challenge([ANN, BOB, CEY])
    money.passes(challenge, ANN)
    money.requested(challenge)
    money.settle()
    money.follow()
    return challenge


def run(statement: str, **values: Any) -> Callable[[Money, int], None]:
    return lambda money, challenge: b.execute(money.engine, statement, **values)


def test_nothing_differs_after_a_challenge_that_ran_its_course(money: Money) -> None:
    challenge = paid(money)
    assert money.client.is_winner(challenge, ANN.address)
    report = reconcile(money)
    assert report.lines == []
    assert (report.challenges, report.differences) == (1, 0)


def test_a_challenge_that_nobody_knows_is_named(money: Money) -> None:
    challenge = bound(money)
    with pytest.raises(
        PermanentError, match=r"challenge_ids \[99999\]: there is no such challenge"
    ):
        reconcile(money, challenge_ids=[challenge, 99999])
    assert reconcile(money, challenge_ids=[challenge]).challenges == 1


def test_what_is_under_way_is_shown_and_is_no_difference(money: Money) -> None:
    challenge = bound(money)
    money.answer()
    report = reconcile(money)
    assert (report.differences, report.under_way) == (0, 1)
    assert [(one.wallet, one.state) for one in report.lines] == [(ANN.address, "under way")]
    assert "settle_winners proves it" in report.lines[0].repair
    money.settle()
    assert reconcile(money).lines == report.lines, "our proof is not indexed yet"
    money.follow()
    assert reconcile(money).lines == []
    assert money.client.is_winner(challenge, ANN.address)


MENDED = [
    (paid, "status", run("update public.challenges set status = 'Active'")),
    (paid, "outcome", run("update public.challenges set chain_outcome = 2")),
    (paid, "outcome", run("update public.challenges set chain_outcome = null")),
    (paid, "status", run(
        "with k as (update pipeline.chain_challenges set status = 'Active', outcome = null)"
        " update public.challenges set status = 'Active', chain_outcome = null")),
    (paid, "winner", run("delete from pipeline.chain_winners")),
    (paid, "winner", lambda money, challenge: b.chain_winner(money.engine, challenge, BOB.address)),
    (paid, "proof", run(
        "update public.challenges set proof = proof || '{\"proofsSubmitted\": 7}'")),
    (paid, "proof", run(
        "update public.challenges set proof = proof || '{\"finalizationSuccess\": false}'")),
    (paid, "proof", run(
        "update public.challenges set proof = proof || '{\"verificationStatus\": \"requested\"}'")),
    (bound, "proof", run(
        "update public.challenges set proof = proof || '{\"finalizationSuccess\": true}'")),
    (bound, "proof", run("update public.challenges set proof = proof - 'taskBinding'")),
    (bound, "binding", run("update pipeline.bindings set request_id = 77")),
    (bound, "binding", run("delete from pipeline.bindings")),
    (bound, "binding", lambda money, challenge: b.binding(money.engine, challenge, BOB.address)),
    (paid, "job", run("update public.aivm_jobs set status = 'submitted'")),
    (paid, "job", run(
        "with r as (update pipeline.inference_requests set status = 'committed')"
        " update public.aivm_jobs set status = 'committed'")),
    (bound, "claim", run(
        "update public.aivm_jobs set status = 'processing',"
        " updated_at = now() - interval '1 hour'")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arrange", "about", "tamper"), MENDED, ids=[f"{n} {case[1]}" for n, case in enumerate(MENDED)]
)
def test_what_was_tampered_with_is_found_reported_and_mended_without_a_transaction(
    money: Money,
    arrange: Callable[[Money], int],
    about: str,
    tamper: Callable[[Money, int], Any],
) -> None:
    challenge = arrange(money)
    if about == "claim":
        b.execute(
            money.engine, "update pipeline.job_claims set heartbeat_at = now() - interval '1 hour'"
        )
    tamper(money, challenge)
    rows, block = everything(money.engine), money.client.node.block_number()

    report = reconcile(money)
    assert about in report.by_subject, report.lines
    assert {one.challenge_id for one in report.lines} == {challenge}
    assert everything(money.engine) == rows, "a report changes nothing"

    rehearsed = reconcile(money, repair=True, dry_run=True)
    assert everything(money.engine) == rows, "a dry run changes nothing"
    assert rehearsed.left == 0, rehearsed.lines

    mended = reconcile(money, repair=True)
    assert mended.left == 0, mended.lines
    assert mended.repairs == rehearsed.repairs != []
    assert {one.state for one in mended.lines} - {"under way"} == {"repaired"}
    assert reconcile(money).differences == 0
    assert money.client.node.block_number() == block, "nothing was sent"


# ── What is left to those who pay, or to people ─────────────────────────────────────────────


def left(money: Money, about: str) -> list[tuple[str | None, str]]:
    report = reconcile(money, repair=True)
    found = [one for one in report.lines if one.about == about]
    assert {one.state for one in found} == {"left"}, report.lines
    return [(one.wallet, one.repair) for one in found]


def test_a_winner_who_is_not_bound_yet_is_under_way_to_settle_winners(money: Money) -> None:
    challenge = bound(money)
    money.passes(challenge, BOB)
    report = reconcile(money, repair=True)
    (line,) = [one for one in report.lines if one.about == "binding"]
    assert (line.wallet, line.state) == (BOB.address, "under way")
    assert "settle_winners binds it" in line.repair


def test_a_loser_who_is_bound_is_left_to_settle_winners(money: Money) -> None:
    challenge = bound(money)
    money.client.bind(money.world.deployment.worker, challenge, CEY.address, 1)
    money.follow()
    ((wallet, why),) = left(money, "binding")
    assert wallet == CEY.address
    assert "settle_winners clears it" in why
    assert money.client.is_bound(challenge, CEY.address), "no transaction"


def test_a_winner_missed_past_the_deadline_needs_the_admin(money: Money) -> None:
    challenge = bound(money)
    money.to_deadline(challenge)
    money.client.travel(10)
    money.follow()
    ((wallet, why),) = left(money, "winner")
    assert wallet == ANN.address
    assert "setVerificationConfig" in why


def test_a_request_that_ran_out_of_time_is_left_to_request_inferences(money: Money) -> None:
    bound(money)
    money.client.travel(700)
    money.follow()
    ((_, why),) = left(money, "job")
    assert "takes the fee back, then asks anew" in why


def test_a_job_whose_task_nobody_knows_is_reported(money: Money) -> None:
    bound(money)
    b.execute(money.engine, "delete from pipeline.transactions")
    b.execute(money.engine, "update public.aivm_jobs set task_id = :task", task="0x" + "77" * 32)
    ((_, why),) = left(money, "job")
    assert "gives it up" in why


@pytest.mark.parametrize("task", ["pending", "", "0x", "0x7", "0x" + "77" * 33, "0x" + "zz" * 32])
def test_a_job_whose_task_is_no_hash_is_reported_like_one_that_nobody_knows(
    money: Money, task: str
) -> None:
    bound(money)
    b.execute(money.engine, "delete from pipeline.transactions")
    b.execute(money.engine, "update public.aivm_jobs set task_id = :task", task=task)
    ((_, why),) = left(money, "job")
    assert "gives it up" in why


def test_a_final_intent_without_a_receipt_is_reported_and_left(money: Money) -> None:
    paid(money)
    b.execute(
        money.engine,
        "update pipeline.transactions set hash = :hash where intent_key like 'finalize:%'",
        hash="0x" + "ab" * 32,
    )
    b.execute(money.engine, "update pipeline.intents set status = 'confirmed'")
    ((_, why),) = left(money, "intent")
    assert "ask another node" in why


def test_a_challenge_that_the_contract_does_not_know_is_reported(money: Money) -> None:
    money.follow()
    b.challenge(money.engine, 4711)
    b.challenge(money.engine, 4712, chain=False, status="rejected")
    ((_, why),) = left(money, "status")
    assert "CHALLENGEPAY_ADDRESS" in why


def test_a_challenge_older_than_the_first_indexed_block_is_told_apart(money: Money) -> None:
    money.client.fund(ANN)
    challenge = money.client.create_challenge(ANN)
    money.client.travel_to(money.client.challenge(challenge).proof_deadline_ts)
    money.client.finalize(ANN, challenge)
    later = money.client.node.block_number() + 1
    money.world.policy = replace(money.world.policy, start_block=later)
    money.client.travel(1)
    money.follow()
    b.insert(money.engine, "public.challenges", id=challenge, status="Active")
    ((_, why),) = left(money, "status")
    assert "set_checkpoint to a block before it" in why
    b.execute(money.engine, "update public.challenges set status = 'Finalized'")
    report = reconcile(money, repair=True)
    assert [(one.about, one.state) for one in report.lines] == [("outcome", "repaired")]


def test_only_the_named_challenges_are_looked_at_and_mended(money: Money) -> None:
    first = money.challenge([ANN, BOB])
    second = money.challenge([ANN, BOB])
    b.execute(money.engine, "update public.challenges set status = 'Canceled'")
    report = reconcile(money, challenge_ids=[second])
    assert {one.challenge_id for one in report.lines} == {second}
    assert report.challenges == 1
    assert {one.challenge_id for one in reconcile(money).lines} == {first, second}


def test_a_jobs_note_of_a_transaction_ahead_of_the_checkpoint_is_no_difference(
    money: Money,
) -> None:
    challenge = bound(money)
    money.answer()
    money.settle()  # proofsSubmitted is written now, the proof is not indexed yet
    assert money.proof(challenge)["proofsSubmitted"] == 1
    report = reconcile(money)
    assert (report.differences, report.under_way) == (0, 1)


def test_a_node_on_another_block_is_refused_before_anything_is_said(money: Money) -> None:
    bound(money)
    b.execute(money.engine, "update pipeline.checkpoints set block_hash = :hash", hash=b.HASH)
    with pytest.raises(TransientError, match="a reorg is under way"):
        reconcile(money)


def test_before_anything_is_indexed_there_is_nothing_to_compare(money: Money) -> None:
    with pytest.raises(PermanentError, match="follow_chain comes first"):
        reconcile(money)


def test_a_worker_that_gives_signs_of_life_is_not_a_difference(money: Money) -> None:
    challenge = bound(money)
    now = datetime.now(UTC)
    b.execute(
        money.engine,
        "update public.aivm_jobs set status = 'processing', updated_at = now() - interval '1 hour'",
    )
    b.execute(money.engine, "delete from pipeline.job_claims")
    b.insert(
        money.engine,
        "pipeline.job_claims",
        challenge_id=challenge,
        token=1,
        worker="alive",
        claimed_at=now,
        heartbeat_at=now,
        expires_at=now + timedelta(minutes=2),
    )
    assert [one for one in reconcile(money).lines if one.about == "claim"] == []

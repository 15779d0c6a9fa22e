"""Bindings and proofs: for settled winners, each their own, and for nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.devnet.deploy import Deployment
from lightchallenge_dagster.devnet.errors import ContractRefused
from lightchallenge_dagster.devnet.wallets import Wallet
from lightchallenge_dagster.steps import judge
from lightchallenge_dagster.steps.settle import SettleReport
from lightchallenge_dagster.steps.settling.state import TRIES
from tests import builders
from tests.steps.index_world import open_world
from tests.steps.money_world import HOUR, Money, users

ALICE, BOB, CAROL, DAVE = users("alice", "bob", "carol", "dave")


BOUNDARIES = [
    "planned", "simulated", "signed", "stored", "sent", "broadcast", "receipt", "mined", "noted",
]  # fmt: skip


class Killed(BaseException):
    """The process's end."""


@pytest.fixture
def money(database: Engine, devnet: Deployment) -> Iterator[Money]:
    for world in open_world(database, devnet):
        yield Money.of(world)


def competitive(money: Money, challenge: int, top_n: int) -> dict[str, Any]:
    """``params`` of a competition over the challenge's own time on chain."""
    params = builders.competitive(top_n)
    builders.execute(
        money.engine,
        "update public.challenges set proof = proof || cast(:patch as jsonb) where id = :id",
        patch=builders.Jsonb({"params": params}),
        id=challenge,
    )
    money.follow()
    return params


def a_competition(money: Money, scores: dict[Wallet, int], *, top_n: int) -> int:
    """A competition that has ended, was requested and answered; its ranking is closed."""
    challenge = money.challenge(list(scores))
    competitive(money, challenge, top_n)
    for wallet, score in scores.items():
        money.passes(challenge, wallet, score=score, final_when="ends_at", proved=True)
    money.to_end(challenge)
    money.closes(challenge)
    money.requested(challenge)
    money.answer()
    return challenge


def ranking_state(money: Money) -> str:
    ((state,),) = builders.rows(money.engine, "select state from pipeline.ranking_states")
    return state


def bound(money: Money, challenge: int, *wallets: Wallet) -> list[str]:
    return [one.address for one in wallets if money.client.is_bound(challenge, one.address)]


def mined_hash(money: Money, kind: str) -> str:
    """The latest mined transaction of a kind."""
    return builders.rows(
        money.engine,
        """
        select t.hash from pipeline.transactions t join pipeline.intents i on i.key = t.intent_key
         where i.kind = :kind and t.receipt_status = 1 order by t.block_number desc, t.hash limit 1
        """,
        kind=kind,
    )[0][0]


def test_a_threshold_winner_is_bound_proved_and_the_row_says_so(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.requested(challenge)
    assert money.work() == [("bind", BOB.address)]
    report = money.settle()
    assert report.bound == [f"{challenge}:{BOB.address}"]
    assert money.work() == []
    assert bound(money, challenge, ALICE, BOB) == [BOB.address]
    money.answer()
    assert money.work() == [("proof", BOB.address)]
    report = money.settle()
    assert report.proved == [f"{challenge}:{BOB.address}"]
    assert money.winners(challenge, [ALICE, BOB]) == [BOB.address]
    proof = money.proof(challenge)
    assert proof["proofsSubmitted"] == 1
    assert proof["submitProofTxHash"] == report.proof_transactions[0]
    assert len(proof["bindTxHash"]) == 66
    assert money.work() == []
    money.follow()
    assert money.idle()


def test_a_winner_without_a_binding_is_never_submitted(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.requested(challenge)
    money.answer()
    # The binding is refused: the worker is no dispatcher of the registry.
    deployed = money.world.deployment
    money.client.send(
        deployed.admin, "task_registry", "setDispatcher", deployed.worker_address, False
    )
    report = money.settle()
    assert report.refused == [f"{challenge}:{BOB.address}: NotAuthorized"]
    assert money.transactions("proof") == 0
    assert money.work() == []
    money.client.send(
        deployed.admin, "task_registry", "setDispatcher", deployed.worker_address, True
    )
    money.retry_now()
    assert money.settle().proved == [f"{challenge}:{BOB.address}"]


def test_a_pass_that_is_not_final_is_not_bound_yet(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB, final_when="ends_at")
    money.requested(challenge)
    assert money.work() == []
    money.to_end(challenge)
    assert money.work() == [("bind", BOB.address)]


def test_a_winner_who_passes_after_the_request_is_paid_by_the_same_request(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB, CAROL])
    money.passes(challenge, BOB)
    money.requested(challenge)
    money.settle()
    money.answer()
    money.settle()
    money.follow()
    money.passes(challenge, CAROL)
    assert money.work() == [("bind", CAROL.address)]
    money.settle()
    assert money.winners(challenge, [ALICE, BOB, CAROL]) == [BOB.address, CAROL.address]
    assert len(money.events("aivm_inference", "InferenceRequestedV2")) == 1


def test_the_frozen_top_of_a_competition_wins_in_one_proof_transaction(money: Money) -> None:
    challenge = a_competition(money, {ALICE: 3, BOB: 9, CAROL: 7, DAVE: 5}, top_n=3)
    assert ranking_state(money) == "closed"
    report = money.settle()
    assert report.frozen == [challenge]
    assert ranking_state(money) == "frozen"
    assert len(report.proof_transactions) == 1
    assert money.winners(challenge, [ALICE, BOB, CAROL, DAVE]) == [
        BOB.address,
        CAROL.address,
        DAVE.address,
    ]
    assert bound(money, challenge, ALICE) == []
    assert money.proof(challenge)["proofsSubmitted"] == 3
    money.follow()
    assert money.idle()


def test_a_provisional_ranking_binds_nobody(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB], proof_window_s=4 * HOUR)
    competitive(money, challenge, 1)
    money.passes(challenge, BOB, score=9, final_when="ends_at", proved=True)
    money.to_end(challenge)
    money.closes(challenge)
    assert ranking_state(money) == "provisional"
    money.requested(challenge)
    money.answer()
    assert money.work() == []
    assert money.settle().bound == []


def set_mode(money: Money, challenge: int, params: dict[str, Any]) -> None:
    builders.execute(
        money.engine,
        "update public.challenges set proof = proof || cast(:patch as jsonb) where id = :id",
        patch=builders.Jsonb({"params": params}),
        id=challenge,
    )
    money.follow()


def test_a_competition_that_became_a_threshold_challenge_stops_nobodys_payment(
    money: Money,
) -> None:
    changed = money.challenge([ALICE, BOB], proof_window_s=4 * HOUR)
    competitive(money, changed, 1)
    money.passes(changed, BOB, score=9, final_when="ends_at")
    money.closes(changed)
    assert ranking_state(money) == "provisional"
    set_mode(money, changed, builders.distance_rule(5))
    builders.execute(money.engine, "update pipeline.judgements set final_when = 'now'")
    money.requested(changed)
    assert money.settle().bound == [f"{changed}:{BOB.address}"]
    money.answer()
    money.settle()
    assert money.winners(changed, [ALICE, BOB]) == [BOB.address]


def test_a_closed_ranking_decides_whatever_the_mode_is_set_to_since(money: Money) -> None:
    challenge = a_competition(money, {ALICE: 3, BOB: 9, CAROL: 7}, top_n=2)
    set_mode(money, challenge, builders.distance_rule(5))
    # Somebody judges by the new rule and does not know of the ranking.
    builders.execute(money.engine, "update public.verdicts set pass = true")
    builders.execute(money.engine, "update pipeline.judgements set final_when = 'now'")
    assert money.work() == [("bind", BOB.address), ("bind", CAROL.address)]
    report = money.settle()
    assert report.frozen == [challenge]
    assert money.winners(challenge, [ALICE, BOB, CAROL]) == [BOB.address, CAROL.address]
    assert len(report.proof_transactions) == 1


def test_a_bound_wallet_that_does_not_win_is_unbound_and_cannot_win_by_itself(
    money: Money,
) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.requested(challenge)
    money.answer()
    # An earlier worker bound the creator when it made the request.
    task = money.job(challenge)["task_id"]
    request_id = int(money.proof(challenge)["taskBinding"]["requestId"])
    request = money.world.contracts.request(request_id)
    arguments = (
        request_id, task, request.model_digest, request.det_config_hash, "0x" + "c3" * 32, 1,
    )  # fmt: skip
    money.client.send(
        money.world.deployment.worker, "task_registry", "recordBinding", challenge,
        ALICE.address, *arguments,
    )  # fmt: skip
    money.follow()
    assert ("clear", ALICE.address) in money.work()
    report = money.settle()
    assert report.cleared == [f"{challenge}:{ALICE.address}"]
    assert bound(money, challenge, ALICE, BOB) == [BOB.address]
    assert money.winners(challenge, [ALICE, BOB]) == [BOB.address]
    assert money.work() == []
    kinds = "select kind from pipeline.intents where kind in ('bind', 'clear') order by nonce"
    assert builders.rows(money.engine, kinds) == [("clear",), ("bind",)]


def test_a_winner_who_submitted_for_themselves_counts_as_success(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.requested(challenge)
    money.settle()
    money.answer()
    data = _proof_calldata(money, challenge, BOB)
    money.client.submit_my_proof(BOB, challenge, data)
    report = money.settle()
    assert report.won_already == [f"{challenge}:{BOB.address}"]
    assert money.transactions("proof") == 0
    assert money.work() == []
    money.follow()
    assert money.idle()


def _proof_calldata(money: Money, challenge: int, wallet: Wallet) -> str:
    from lightchallenge_dagster.rules.proof import Proof

    request_id = int(money.proof(challenge)["taskBinding"]["requestId"])
    request = money.world.contracts.request(request_id)
    proof = Proof(
        request_id=request_id,
        task_id=request.task_id,
        challenge_id=challenge,
        subject=wallet.address,
        score=None,
        evidence_hash=None,
        benchmark_hash="0x" + "c3" * 32,
        evaluated_ts=1,
        model_digest=request.model_digest,
        params_hash=request.det_config_hash,
    )
    return "0x" + proof.encode().hex()


def test_the_contracts_take_our_proof_from_the_bound_wallet_and_from_nobody_else(
    money: Money,
) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.requested(challenge)
    money.settle()
    money.answer()
    money.client.submit_my_proof(ALICE, challenge, _proof_calldata(money, challenge, ALICE))
    assert money.winners(challenge, [ALICE, BOB]) == []


def test_a_proof_that_the_verifier_refuses_is_named_by_its_condition_and_not_sent(
    money: Money,
) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.requested(challenge)
    money.settle()
    money.answer()
    # Somebody with the right to rebinds the winner to a request that says nothing about it.
    money.client.send(
        money.world.deployment.worker, "task_registry", "recordBinding", challenge, BOB.address,
        99, "0x" + "99" * 32, "0x" + "a1" * 32, "0x" + "b2" * 32, "0x" + "c3" * 32, 1,
    )  # fmt: skip
    report = money.settle()
    assert report.refused == [f"{challenge}:{BOB.address}: it is bound to request 99, not 1"]
    assert money.transactions("proof") == 0
    assert money.work() == []
    money.follow()
    # The proof was put off for a minute; with its binding mended it goes out at once.
    assert money.work() == [("bind", BOB.address)]
    assert money.settle().proved == [f"{challenge}:{BOB.address}"]


def test_a_proof_that_went_through_without_effect_is_never_believed(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.requested(challenge)
    money.settle()
    money.answer()

    def unbind(boundary: str, key: str) -> None:
        if boundary == "stored" and key.startswith("proof:"):
            money.client.send(
                money.world.deployment.worker, "task_registry", "clearBinding", challenge,
                BOB.address,
            )  # fmt: skip

    money.observe = unbind
    report = money.settle()
    money.observe = lambda _boundary, _key: None
    assert report.proved == []
    assert report.refused == [
        f"{challenge}:{BOB.address}: its proof was submitted and not accepted"
    ]
    assert money.proof(challenge)["proofsSubmitted"] == 0
    money.follow()
    money.retry_now()
    assert money.settle().proved == [f"{challenge}:{BOB.address}"]
    assert money.transactions("proof") == 2


def test_one_bad_entry_does_not_take_the_others_down(money: Money) -> None:
    challenge = a_competition(money, {ALICE: 1, BOB: 9, CAROL: 7, DAVE: 5}, top_n=3)
    money.policy = replace(money.policy, receipt_timeout_s=5)

    def win_alone(boundary: str, key: str) -> None:
        # Between the preflight and the batch, one of them submits for themselves.
        if boundary == "planned" and "batch" in key and not money.winners(challenge, [CAROL]):
            money.client.submit_my_proof(CAROL, challenge, _proof_calldata(money, challenge, CAROL))

    money.observe = win_alone
    report = money.settle()
    assert sorted(report.proved) == sorted(f"{challenge}:{one.address}" for one in (BOB, DAVE))
    assert report.won_already == [f"{challenge}:{CAROL.address}"]
    assert len(money.winners(challenge, [ALICE, BOB, CAROL, DAVE])) == 3
    batches = "select key from pipeline.intents where key like '%:batch:%'"
    assert builders.rows(money.engine, batches) == [], "what was never sent is forgotten"


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("kind", ["bind", "proof"])
def test_a_death_while_settling_loses_nobody_and_pays_nobody_twice(
    money: Money, kind: str, boundary: str
) -> None:
    challenge = a_competition(money, {ALICE: 1, BOB: 9, CAROL: 7}, top_n=2)

    def die(reached: str, key: str) -> None:
        if reached == boundary and key.startswith(kind):
            raise Killed

    money.observe = die
    with pytest.raises(Killed):
        money.settle()
    money.observe = lambda _boundary, _key: None
    money.settle()
    money.follow()
    money.settle()
    money.follow()
    assert money.winners(challenge, [ALICE, BOB, CAROL]) == [BOB.address, CAROL.address]
    assert len(money.events("challengepay", "WinnerMarked")) == 2
    assert len(money.events("task_registry", "BindingRecorded")) == 2
    assert money.transactions("proof") <= 2
    proof = money.proof(challenge)
    assert proof["submitProofTxHash"] == mined_hash(money, "proof")
    assert proof["proofsSubmitted"] == 2
    assert proof["bindTxHash"] is not None
    assert money.idle()


def test_a_paused_challenge_waits_and_is_paid_when_it_goes_on(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.requested(challenge)
    money.settle()
    money.answer()
    money.client.pause(challenge)
    report = money.settle()
    assert report.waiting == [f"{challenge}:{BOB.address}: ChallengePaused"]
    assert money.work() == []
    money.client.pause(challenge, False)
    money.follow()
    money.retry_now()
    assert money.settle().proved == [f"{challenge}:{BOB.address}"]


def test_nothing_is_sent_after_the_proof_deadline(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.requested(challenge)
    money.answer()
    deadline = money.client.challenge(challenge).proof_deadline_ts
    money.client.travel_to(deadline + 1)
    assert money.work() == []
    with pytest.raises(ContractRefused):
        money.client.submit_my_proof(BOB, challenge, _proof_calldata(money, challenge, BOB))


def test_an_answer_that_proves_nothing_binds_nobody(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.requested(challenge)
    money.answer()
    builders.execute(
        money.engine,
        "update pipeline.inference_requests set response_hash = :other",
        other="0x" + "77" * 32,
    )
    assert money.work() == []


def test_a_binding_of_an_earlier_workers_winner_stays_until_it_was_judged(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.requested(challenge)
    money.settle()
    money.follow()
    builders.execute(money.engine, "delete from pipeline.judgements")
    builders.execute(money.engine, "delete from pipeline.transactions")
    builders.execute(money.engine, "delete from pipeline.intents")
    assert money.work() == []
    assert bound(money, challenge, BOB) == [BOB.address]
    builders.judgement(money.engine, challenge, BOB.address)
    money.answer()
    money.settle()
    assert money.winners(challenge, [ALICE, BOB]) == [BOB.address]
    assert len(money.events("task_registry", "BindingRecorded")) == 1


def test_a_pass_by_a_rule_that_has_changed_since_is_no_payment_order(money: Money) -> None:
    def judged() -> None:
        for day in judge.pending(money.engine):
            judge.judge(money.engine, day, datetime.fromtimestamp(money.now(), UTC))

    challenge = money.challenge([ALICE, BOB], params=builders.distance_rule(1))
    for wallet, km in ((ALICE, 3), (BOB, 9)):
        ran = {"type": "run", "start_ts": money.now() + 1, "duration_s": 60, "distance_km": km}
        builders.evidence(money.engine, challenge, wallet.address, [ran])
    judged()
    money.requested(challenge)
    assert sorted(money.work()) == sorted([("bind", ALICE.address), ("bind", BOB.address)])
    set_mode(money, challenge, builders.distance_rule(5))
    assert money.work() == []
    assert money.settle().bound == []
    judged()
    assert money.work() == [("bind", BOB.address)]


def crowded(money: Money, count: int) -> tuple[int, list[Wallet]]:
    """A competition that all but its creator win, ready to be bound and proved."""
    wallets = users(*(f"runner {number}" for number in range(count + 1)))
    scores = {wallet: number for number, wallet in enumerate(wallets, start=1)}
    return a_competition(money, scores, top_n=count), wallets[1:]


def gas_of_proofs(money: Money) -> list[int]:
    return [
        gas
        for (gas,) in builders.rows(
            money.engine,
            """
            select t.gas from pipeline.transactions t join pipeline.intents i on i.key = intent_key
             where i.kind = 'proof' and t.receipt_status = 1
            """,
        )
    ]


def test_all_batches_of_a_challenge_go_out_at_once_and_none_takes_more_than_it_may(
    money: Money,
) -> None:
    challenge, winners = crowded(money, 7)
    money.settling = replace(money.settling, max_batch_gas=500_000)
    report = money.settle()
    assert money.winners(challenge, winners) == [one.address for one in winners]
    assert len(report.proof_transactions) == len(gas_of_proofs(money)) > 1
    assert all(gas <= 500_000 for gas in gas_of_proofs(money))
    assert money.proof(challenge)["proofsSubmitted"] == 7


def test_a_batch_takes_at_most_half_a_block(money: Money) -> None:
    challenge, winners = crowded(money, 7)
    call = money.world.rpc.call
    (before,) = {call("eth_getBlockByNumber", ["latest", False])["gasLimit"]}
    call("evm_setBlockGasLimit", [hex(800_000)])
    try:
        money.client.travel(1)
        money.settle()
        assert money.winners(challenge, winners) == [one.address for one in winners]
        assert len(gas_of_proofs(money)) > 1
        assert all(gas <= 400_000 for gas in gas_of_proofs(money))
    finally:
        call("evm_setBlockGasLimit", [before])


def test_a_request_that_is_dead_binds_nobody_and_losers_are_unbound_all_the_same(
    money: Money,
) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.requested(challenge)
    request_id = int(money.proof(challenge)["taskBinding"]["requestId"])
    money.client.bind(money.world.deployment.worker, challenge, ALICE.address, request_id)
    money.follow()
    assert money.work() == [("clear", ALICE.address), ("bind", BOB.address)]
    builders.insert(
        money.engine,
        "pipeline.request_watch",
        request_id=request_id,
        challenge_id=challenge,
        task_id=money.job(challenge)["task_id"],
        requester=money.requests.worker,
        fee_wei=1,
        chain_status=1,
        commit_deadline=1,
        reveal_deadline=0,
        finalize_deadline=0,
        seen_status="requested",
        dead="nobody committed to it in time",
    )
    assert money.work() == [("clear", ALICE.address)]
    report = money.settle()
    assert (report.cleared, report.bound) == ([f"{challenge}:{ALICE.address}"], [])
    assert bound(money, challenge, ALICE, BOB) == []


def with_a_bound_loser(money: Money) -> int:
    """Everything is ready to prove Bob; and somebody binds Alice, who does not win."""
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.requested(challenge)
    money.settle()
    money.answer()
    request_id = int(money.proof(challenge)["taskBinding"]["requestId"])
    money.client.bind(
        money.world.deployment.worker,
        challenge,
        ALICE.address,
        request_id,
        benchmark_hash="0x" + "c3" * 32,
    )
    money.follow()
    return challenge


def test_nobody_is_proved_while_a_loser_is_being_unbound(money: Money) -> None:
    challenge = with_a_bound_loser(money)
    automine = money.world.rpc.call
    automine("evm_setAutomine", [False])
    money.policy = replace(money.policy, receipt_timeout_s=0.1)
    try:
        report = money.settle()
        assert report.pending == [f"{challenge}:{ALICE.address}"]
        assert money.transactions("proof") == 0
    finally:
        automine("evm_setAutomine", [True])
    automine("evm_mine", [])
    assert money.settle().proved == [f"{challenge}:{BOB.address}"]
    assert bound(money, challenge, ALICE, BOB) == [BOB.address]


def test_close_to_the_deadline_winners_do_not_wait_for_a_loser_to_be_unbound(
    money: Money,
) -> None:
    challenge = with_a_bound_loser(money)
    money.client.travel_to(money.client.challenge(challenge).proof_deadline_ts - 60)
    money.follow()
    automine = money.world.rpc.call
    automine("evm_setAutomine", [False])
    money.policy = replace(money.policy, receipt_timeout_s=0.1)
    try:
        money.settle()
        assert money.transactions("proof") == 1
    finally:
        automine("evm_setAutomine", [True])
    automine("evm_mine", [])
    money.settle()
    assert money.winners(challenge, [ALICE, BOB]) == [BOB.address]


def test_a_bound_loser_that_won_before_it_was_unbound_is_reported_as_such(money: Money) -> None:
    challenge = with_a_bound_loser(money)
    money.client.submit_my_proof(ALICE, challenge, _proof_calldata(money, challenge, ALICE))
    report = money.settle()
    assert report.refused == [f"{challenge}:{ALICE.address}: it won before its binding was cleared"]


def test_a_bound_loser_of_a_paused_challenge_is_unbound_before_it_goes_on(money: Money) -> None:
    challenge = with_a_bound_loser(money)
    money.client.pause(challenge)
    money.follow()
    assert money.work() == [("clear", ALICE.address)]
    assert money.settle().cleared == [f"{challenge}:{ALICE.address}"]


def test_a_bound_loser_is_unbound_after_the_deadline_too_because_it_can_be_moved(
    money: Money,
) -> None:
    challenge = with_a_bound_loser(money)
    money.to_deadline(challenge)
    money.client.travel(60)
    money.follow()
    assert money.work() == [("clear", ALICE.address)]
    money.settle()
    money.client.move_proof_deadline(challenge, money.now() + 600)
    money.client.submit_my_proof(ALICE, challenge, _proof_calldata(money, challenge, ALICE))
    money.follow()
    money.settle()
    assert money.winners(challenge, [ALICE, BOB]) == [BOB.address]


def test_a_ranking_freezes_with_its_first_proof_where_somebody_else_wrote_the_binding(
    money: Money,
) -> None:
    challenge = a_competition(money, {ALICE: 3, BOB: 9}, top_n=1)
    request_id = int(money.proof(challenge)["taskBinding"]["requestId"])
    money.client.bind(money.world.deployment.worker, challenge, BOB.address, request_id)
    money.follow()
    assert money.work() == [("proof", BOB.address)]
    report = money.settle()
    assert (report.frozen, report.proved) == ([challenge], [f"{challenge}:{BOB.address}"])
    assert ranking_state(money) == "frozen"


def test_a_proof_that_a_reorg_took_out_is_taken_back_and_told_again_when_it_is_mined(
    money: Money,
) -> None:
    money.policy = replace(money.policy, confirmations=20, receipt_timeout_s=0.1)
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.requested(challenge)
    money.settle()
    money.answer()
    call = money.world.rpc.call
    before = call("evm_snapshot", [])
    money.settle()
    told = money.proof(challenge)
    assert (told["proofsSubmitted"], len(told["submitProofTxHash"])) == (1, 66)
    call("evm_revert", [before])
    call("evm_setAutomine", [False])
    try:
        money.settle()
        unmined = money.proof(challenge)
        assert (unmined["proofsSubmitted"], unmined["submitProofTxHash"]) == (0, None)
        assert unmined["bindTxHash"] == told["bindTxHash"]
    finally:
        call("evm_setAutomine", [True])
    call("evm_mine", [])
    money.settle()
    assert money.proof(challenge) == told
    assert money.transactions("proof") == 1


def test_batches_that_were_never_signed_are_forgotten_and_sent_ones_never(money: Money) -> None:
    challenge, winners = crowded(money, 2)

    def die(reached: str, key: str) -> None:
        if reached == "planned" and ":batch:" in key:
            raise Killed

    money.observe = die
    with pytest.raises(Killed):
        money.settle()
    money.observe = lambda _boundary, _key: None
    keys = "select key, status from pipeline.intents where key like '%:batch:%'"
    ((planned, status),) = builders.rows(money.engine, keys)
    assert status == "planned"
    # One of the two submits for themselves, so another batch goes out: of one.
    money.client.submit_my_proof(
        winners[0], challenge, _proof_calldata(money, challenge, winners[0])
    )
    builders.execute(
        money.engine,
        "update pipeline.intents set updated_at = now() - interval '2 hours' where key = :key",
        key=planned,
    )
    report = money.settle()
    assert report.proved == [f"{challenge}:{winners[1].address}"]
    assert builders.rows(money.engine, keys) == []
    assert money.proof(challenge)["proofsSubmitted"] == 2


def test_who_was_in_a_batch_that_reverted_on_chain_is_proved_alone(money: Money) -> None:
    challenge = a_competition(money, {ALICE: 1, BOB: 9, CAROL: 7, DAVE: 5}, top_n=3)

    def win_alone(boundary: str, key: str) -> None:
        # After it was simulated and signed: now the whole batch has to revert.
        if boundary == "stored" and ":batch:" in key:
            money.client.submit_my_proof(CAROL, challenge, _proof_calldata(money, challenge, CAROL))

    money.observe = win_alone
    report = money.settle()
    assert report.proved == []
    assert money.winners(challenge, [BOB, CAROL, DAVE]) == [CAROL.address]
    money.observe = lambda _boundary, _key: None
    money.follow()
    money.retry_now()
    report = money.settle()
    assert sorted(report.proved) == sorted(f"{challenge}:{one.address}" for one in (BOB, DAVE))
    assert len(report.proof_transactions) == 2
    assert money.proof(challenge)["proofsSubmitted"] == 3


def with_verifier(money: Money, code: str) -> str:
    """A contract of somebody else's making."""
    address = "0x" + "bad0" * 10
    money.world.rpc.call("anvil_setCode", [address, code])
    return address


def settled_beside(money: Money, code: str) -> tuple[int, int, SettleReport]:
    """A challenge whose verifier is ``code``, for BOB, and a good one for CAROL, both settled."""
    poisoned = money.challenge([ALICE, BOB], verifier=with_verifier(money, code))
    good = money.challenge([ALICE, CAROL])
    money.passes(poisoned, BOB)
    money.passes(good, CAROL)
    assert money.dispatch().queued == [poisoned, good]
    money.request()
    money.follow()
    money.settle()
    money.answer()
    return poisoned, good, money.settle()


def test_a_verifier_that_never_ends_stops_its_own_challenge_only(money: Money) -> None:
    # Back to the start, for ever.
    poisoned, good, report = settled_beside(money, "0x5b600056")
    assert report.proved == [f"{good}:{CAROL.address}"]
    assert [one.split(": ")[0] for one in [*report.waiting, *report.refused]] == [
        f"{poisoned}:{BOB.address}"
    ]
    assert [name for name, _ in money.work()] == []


def test_a_verifier_that_changes_its_mind_costs_a_few_transactions_and_no_more(
    money: Money,
) -> None:
    # True while nobody pays for gas, as in a call; false in a transaction.
    fickle = with_verifier(money, "0x3a1560005260206000f3")
    challenge = money.challenge([ALICE, BOB], verifier=fickle)
    money.passes(challenge, BOB)
    money.requested(challenge)
    money.settle()
    money.answer()
    for _ in range(TRIES + 3):
        assert money.settle().proved == []
        money.follow()
        money.retry_now()
    assert money.transactions("proof") == TRIES
    assert money.work() == []


def test_a_score_beyond_every_number_of_the_chain_is_proved_with_the_largest(
    money: Money,
) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB, score=Decimal("1e90"))
    money.requested(challenge)
    money.settle()
    money.answer()
    assert money.settle().proved == [f"{challenge}:{BOB.address}"]


def test_what_another_pipeline_proved_since_the_look_at_the_chain_is_not_sent_again(
    money: Money, monkeypatch: pytest.MonkeyPatch
) -> None:
    challenge, winners = crowded(money, 3)
    verify_each = money.world.contracts.verify_each

    def overtaken(*arguments: Any) -> dict[str, bool]:
        accepted = verify_each(*arguments)
        monkeypatch.undo()
        assert len(money.settle().proved) == 3
        return accepted

    monkeypatch.setattr(money.world.contracts, "verify_each", overtaken)
    report = money.settle()
    assert (report.proof_transactions, report.won_already) == ([], [])
    assert money.transactions("proof") == 1
    assert money.winners(challenge, winners) == [one.address for one in winners]


def test_a_binding_that_is_there_already_is_not_written_again_before_it_is_indexed(
    money: Money,
) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.requested(challenge)
    request_id = int(money.proof(challenge)["taskBinding"]["requestId"])
    money.client.bind(
        money.world.deployment.worker,
        challenge,
        BOB.address,
        request_id,
        benchmark_hash="0x" + "c3" * 32,
    )
    report = money.settle()
    assert (report.bound, len(report.waiting)) == ([], 1)
    assert money.transactions("bind") == 0
    money.follow()
    money.answer()
    assert money.settle().proved == [f"{challenge}:{BOB.address}"]


def test_a_judgement_waits_for_the_payment_order_under_way_and_then_leaves_it_alone(
    money: Money,
) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB, proved=True)
    money.requested(challenge)
    ran = {"type": "run", "start_ts": money.now(), "duration_s": 60, "distance_km": 1}

    def judged_now(boundary: str, _key: str) -> None:
        # The order is written down, and nothing of it was sent: a worse upload is judged.
        if boundary == "planned":
            builders.evidence(
                money.engine,
                challenge,
                BOB.address,
                [ran],
                at=datetime.fromtimestamp(money.now(), UTC),
            )
            for day in judge.pending(money.engine):
                judge.judge(money.engine, day, datetime.fromtimestamp(money.now(), UTC))

    money.observe = judged_now
    assert money.settle().bound == [f"{challenge}:{BOB.address}"]
    money.observe = lambda _boundary, _key: None
    money.answer()
    assert money.settle().proved == [f"{challenge}:{BOB.address}"]


def test_what_is_on_its_way_is_not_ordered_again(money: Money) -> None:
    challenge = a_competition(money, {ALICE: 1, BOB: 9, CAROL: 7}, top_n=2)
    call = money.world.rpc.call
    money.policy = replace(money.policy, receipt_timeout_s=0.1)
    for kind, sent in (("bind", 2), ("proof", 1)):
        call("evm_setAutomine", [False])
        try:
            for _ in range(3):
                money.settle()
            assert money.transactions(kind) == sent
        finally:
            call("evm_setAutomine", [True])
        call("evm_mine", [])
        money.outbox().resume()
    assert money.winners(challenge, [ALICE, BOB, CAROL]) == [BOB.address, CAROL.address]


def test_a_bound_winner_whose_stake_is_on_no_chain_is_refused_and_the_others_are_proved(
    money: Money,
) -> None:
    challenge = money.challenge([ALICE, BOB, CAROL])
    (stranger,) = users("stranger")
    for wallet in (BOB, CAROL, stranger):
        money.passes(challenge, wallet)
    money.requested(challenge)
    money.settle()
    money.answer()
    # The tables still hold what a reorg has taken away.
    builders.stake(money.engine, challenge, stranger.address)
    request_id = int(money.proof(challenge)["taskBinding"]["requestId"])
    money.client.bind(money.world.deployment.worker, challenge, stranger.address, request_id)
    money.follow()
    report = money.settle()
    assert report.refused == [f"{challenge}:{stranger.address}: NotEligible"]
    assert money.transactions("proof") == 1
    assert money.winners(challenge, [BOB, CAROL]) == [BOB.address, CAROL.address]

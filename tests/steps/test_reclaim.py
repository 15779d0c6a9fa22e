"""A request that ran out of time gives its fee back, and its challenge asks anew, once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.devnet import network
from lightchallenge_dagster.devnet.deploy import Deployment
from lightchallenge_dagster.rules.requests import (
    CANCELLED,
    COMMITTED,
    REQUESTED,
    REVEALED,
    TIMED_OUT,
)
from lightchallenge_dagster.steps.health import violations
from lightchallenge_dagster.steps.reclaim import reclaimable
from tests import builders
from tests.steps.index_world import open_world
from tests.steps.money_world import MODEL, PARAMS, Money, users

ALICE, BOB = users("alice", "bob")
DAY = 86400


class Killed(BaseException):
    """The worker's end."""


@pytest.fixture
def money(database: Engine, devnet: Deployment) -> Iterator[Money]:
    for world in open_world(database, devnet):
        yield Money.of(world)


def a_requested_challenge(money: Money) -> int:
    challenge = money.challenge([ALICE, BOB], duration_s=3 * DAY)
    money.passes(challenge, BOB)
    money.requested(challenge)
    return challenge


def request_ids(money: Money) -> list[int]:
    return [
        int(event.args["requestId"])
        for event in money.events("aivm_inference", "InferenceRequestedV2")
    ]


def to_stage(money: Money, request_id: int, status: int) -> None:
    """Let the network go on until the request is in that stage, and then stand still."""
    for _ in range(20):
        if money.client.request(request_id).status >= status:
            break
        money.network.step()
    assert money.client.request(request_id).status == status
    money.follow()


def let_it_expire(money: Money) -> None:
    money.client.travel(2 * 3600)
    money.follow()


@pytest.mark.parametrize(
    ("stage", "over", "why"),
    [
        (REQUESTED, CANCELLED, "nobody committed to it in time"),
        (COMMITTED, TIMED_OUT, "its answer was not revealed in time"),
        (REVEALED, TIMED_OUT, "it was not attested in time"),
    ],
)
def test_an_expired_request_is_reclaimed_by_its_stages_call_and_asked_anew(
    money: Money, stage: int, over: int, why: str
) -> None:
    challenge = a_requested_challenge(money)
    (first,) = request_ids(money)
    to_stage(money, first, stage)
    assert reclaimable(money.engine, money.now()) == []
    money.client.travel(301)
    money.follow()
    assert reclaimable(money.engine, money.now()) == [challenge]
    assert money.reclaim().lost == []
    assert reclaimable(money.engine, money.now()) == []
    let_it_expire(money)
    assert reclaimable(money.engine, money.now()) == [challenge]
    held = money.client.balance(money.requests.worker)
    report = money.reclaim()
    assert report.lost == [f"{first} of challenge {challenge}: {why}"]
    assert (report.requeued, report.reclaimed) == ([challenge], [first])
    assert money.client.request(first).status == over
    fee = money.requests.request_fee_wei
    assert fee * 9 // 10 < money.client.balance(money.requests.worker) - held <= fee
    job = money.job(challenge)
    assert (job["status"], job["task_id"], job["attempts"]) == ("queued", None, 0)
    assert job["last_error"] == f"request {first}: {why}"
    assert money.work() == [], "nobody is bound to a request that is dead"
    assert money.request().submitted == [challenge]
    second = request_ids(money)[-1]
    proof = money.proof(challenge)
    assert proof["taskBinding"]["requestId"] == str(second)
    assert proof["verificationStatus"] == "requested"
    money.follow()
    money.answer()
    money.settle()
    money.settle()
    assert money.winners(challenge, [ALICE, BOB]) == [BOB.address]
    assert len(request_ids(money)) == 2
    money.follow()
    money.reclaim()
    assert money.idle()
    assert money.proof(challenge)["verificationStatus"] == "finalized"
    assert money.job(challenge)["status"] == "done"


def test_bindings_to_an_expired_request_are_rewritten(money: Money) -> None:
    challenge = a_requested_challenge(money)
    money.settle()
    money.follow()
    assert money.client.is_bound(challenge, BOB.address)
    let_it_expire(money)
    money.reclaim()
    money.request()
    money.follow()
    assert money.work() == [("bind", BOB.address)]
    money.answer()
    money.settle()
    money.settle()
    assert money.winners(challenge, [ALICE, BOB]) == [BOB.address]


def test_a_request_that_lives_is_left_alone_up_to_its_very_deadline(money: Money) -> None:
    challenge = a_requested_challenge(money)
    (made,) = request_ids(money)
    money.client.travel_to(money.client.request(made).commit_deadline)
    money.follow()
    report = money.reclaim()
    assert (report.lost, report.requeued, report.reclaimed) == ([], [], [])
    assert money.job(challenge)["status"] == "submitted"
    assert money.request().submitted == []
    assert len(request_ids(money)) == 1


def test_an_answer_that_proves_nothing_is_asked_anew_and_counts_as_an_attempt(
    money: Money, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "response_for", lambda _: '{"challengeId":"0","verified":true}')
    money.requests = replace(money.requests, max_attempts=2)
    challenge = a_requested_challenge(money)
    money.answer()
    assert money.job(challenge)["status"] == "done"
    (first,) = request_ids(money)
    report = money.reclaim()
    assert report.lost == [
        f"{first} of challenge {challenge}: it was answered with another response"
    ]
    assert report.reclaimed == [], "the worker has earned the fee"
    assert (money.job(challenge)["status"], money.job(challenge)["attempts"]) == ("failed", 1)
    assert money.request().submitted == [challenge]
    money.follow()
    money.answer()
    money.reclaim()
    job = money.job(challenge)
    assert (job["status"], job["attempts"]) == ("dead", 2)
    assert money.request().submitted == []
    assert len(request_ids(money)) == 2


def test_a_fee_comes_back_also_when_the_challenge_is_over(money: Money) -> None:
    challenge = a_requested_challenge(money)
    (made,) = request_ids(money)
    money.client.cancel(ALICE, challenge)
    let_it_expire(money)
    report = money.reclaim()
    assert report.reclaimed == [made]
    money.dispatch()
    assert money.job(challenge)["status"] == "canceled"
    assert money.request().submitted == []


def test_a_fee_that_another_wallet_paid_is_named_and_left_to_it(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB], duration_s=3 * DAY)
    money.passes(challenge, BOB)
    stranger = money.world.deployment.admin
    made = money.client.request_inference(
        stranger, challenge, BOB.address, model_digest=MODEL, params_hash=PARAMS
    )
    builders.insert(
        money.engine,
        "public.aivm_jobs",
        challenge_id=challenge,
        status="submitted",
        attempts=0,
        task_id=money.client.request(made).task_id,
    )
    let_it_expire(money)
    report = money.reclaim()
    assert report.requeued == [challenge]
    assert report.errors == [f"request {made}: only {stranger.address} can take its fee back"]
    assert money.transactions("reclaim") == 0
    assert money.request().submitted == [challenge]
    assert reclaimable(money.engine, money.now()) in ([], [challenge])


def test_an_earlier_workers_request_expires_in_whatever_case_its_task_was_noted(
    money: Money,
) -> None:
    challenge = money.challenge([ALICE, BOB], duration_s=3 * DAY)
    money.passes(challenge, BOB)
    made = a_job_in_capitals(money, challenge)
    let_it_expire(money)
    assert reclaimable(money.engine, money.now()) == [challenge]
    report = money.reclaim()
    assert (report.requeued, report.reclaimed) == ([challenge], [made])
    assert money.request().submitted == [challenge]


def test_an_earlier_workers_job_follows_the_network_in_whatever_case_its_task_was_noted(
    money: Money,
) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    made = a_job_in_capitals(money, challenge)
    to_stage(money, made, COMMITTED)
    assert money.job(challenge)["status"] == "committed"
    assert money.proof(challenge)["verificationStatus"] == "committed"
    money.answer()
    assert money.job(challenge)["status"] == "done"
    assert money.proof(challenge)["verificationStatus"] == "finalized"
    money.settle()
    money.settle()
    assert money.winners(challenge, [ALICE, BOB]) == [BOB.address]


def a_job_in_capitals(money: Money, challenge: int) -> int:
    """As an earlier worker left it: submitted, with its task's hex in capitals."""
    made = money.client.request_inference(
        money.world.deployment.worker,
        challenge,
        BOB.address,
        model_digest=MODEL,
        params_hash=PARAMS,
    )
    task = "0x" + money.client.request(made).task_id[2:].upper()
    builders.insert(
        money.engine,
        "public.aivm_jobs",
        challenge_id=challenge,
        status="submitted",
        attempts=0,
        task_id=task,
    )
    builders.execute(
        money.engine,
        "update public.challenges set proof = proof || cast(:patch as jsonb)",
        patch=builders.Jsonb({"taskBinding": {"requestId": str(made), "taskId": task}}),
    )
    money.follow()
    return made


def test_a_fee_that_somebody_else_took_back_is_not_asked_for_again(money: Money) -> None:
    a_requested_challenge(money)
    (made,) = request_ids(money)
    let_it_expire(money)

    def die(reached: str, key: str) -> None:
        if reached == "planned":
            raise Killed

    money.observe = die
    with pytest.raises(Killed):
        money.reclaim()
    money.observe = lambda _boundary, _key: None
    money.client.send(money.world.deployment.worker, "aivm_inference", "cancelExpired", made)
    assert money.reclaim().pending == [made], "its block is not confirmed"
    money.follow()
    assert money.reclaim().reclaimed == [made]
    assert money.transactions("reclaim") == 0
    assert reclaimable(money.engine, money.now()) == []


@pytest.mark.parametrize(
    "boundary",
    ["planned", "simulated", "signed", "stored", "sent", "broadcast", "receipt", "mined", "noted"],
)
def test_a_death_while_reclaiming_gives_one_refund_and_one_new_request(
    money: Money, boundary: str
) -> None:
    challenge = a_requested_challenge(money)
    (first,) = request_ids(money)
    let_it_expire(money)

    def die(reached: str, _key: str) -> None:
        if reached == boundary:
            raise Killed

    money.observe = die
    with pytest.raises(Killed):
        money.reclaim()
    money.observe = lambda _boundary, _key: None
    for _ in range(2):
        money.outbox().resume()
        money.reclaim()
        money.request()
        money.follow()
    assert money.client.request(first).status == CANCELLED
    assert len(request_ids(money)) == 2
    assert money.transactions("reclaim") == 1
    assert money.job(challenge)["status"] == "submitted"


def die_at(money: Money, boundary: str) -> None:
    def die(reached: str, _key: str) -> None:
        if reached == boundary:
            raise Killed

    money.observe = die
    with pytest.raises(Killed):
        money.reclaim()
    money.observe = lambda _boundary, _key: None


def test_the_fee_of_a_retired_wallet_is_named_and_stops_nobody(money: Money) -> None:
    challenge = a_requested_challenge(money)
    (made,) = request_ids(money)
    let_it_expire(money)
    die_at(money, "planned")
    retired = "0x" + "de" * 20
    builders.execute(
        money.engine,
        "update pipeline.intents set signer = :wallet where kind = 'reclaim'",
        wallet=retired,
    )
    assert money.reclaim().errors == [f"request {made}: only {retired} can take its fee back"]
    assert reclaimable(money.engine, money.now()) == []
    assert money.request().submitted == [challenge]


def test_a_fee_that_came_back_at_the_nonce_of_our_own_reclaim_is_done(money: Money) -> None:
    a_requested_challenge(money)
    (made,) = request_ids(money)
    let_it_expire(money)
    die_at(money, "stored")
    money.client.send(money.world.deployment.worker, "aivm_inference", "cancelExpired", made)
    assert money.outbox().resume().ousted == 1
    money.follow()
    assert money.reclaim().reclaimed == [made]
    assert reclaimable(money.engine, money.now()) == []
    assert red(money) == []


def reverts_on_chain(money: Money) -> None:
    """A reclaim whose simulation passed and whose transaction fails."""
    die_at(money, "stored")
    address = money.world.deployment.aivm_inference
    code = money.world.rpc.call("eth_getCode", [address, "latest"])
    money.world.rpc.call("anvil_setCode", [address, "0x60006000fd"])
    money.outbox().resume()
    money.world.rpc.call("anvil_setCode", [address, code])
    money.follow()
    money.outbox().resume()


def an_hour_passes(money: Money) -> None:
    for statement in (
        "update pipeline.intents set updated_at = updated_at - interval '61 minutes'",
        "update pipeline.request_watch set read_at = read_at - interval '61 minutes'",
    ):
        builders.execute(money.engine, statement)


def refunds(money: Money) -> list[tuple[str, str]]:
    return builders.rows(
        money.engine,
        "select key, status from pipeline.intents where kind = 'reclaim' order by created_at",
    )


def red(money: Money) -> list[str]:
    checks = ("requests_dead", "intents_refused")
    return [name for name in checks if violations(money.engine, name).rows]


def test_a_reclaim_that_reverted_is_tried_again_an_hour_later(money: Money) -> None:
    challenge = a_requested_challenge(money)
    (made,) = request_ids(money)
    let_it_expire(money)
    reverts_on_chain(money)
    first = f"reclaim:{challenge}:{made}"
    assert refunds(money) == [(first, "reverted")]
    assert reclaimable(money.engine, money.now()) == []
    assert money.reclaim().reclaimed == []
    assert red(money) == ["requests_dead", "intents_refused"]

    an_hour_passes(money)
    assert reclaimable(money.engine, money.now()) == [challenge]
    assert money.reclaim().reclaimed == [made]
    assert refunds(money)[1:] == [(f"{first}:2", "confirmed")]
    assert money.client.request(made).status == CANCELLED
    an_hour_passes(money)
    assert reclaimable(money.engine, money.now()) == []
    assert red(money) == []


def test_a_reclaim_that_reverts_three_times_is_left_to_a_person(money: Money) -> None:
    a_requested_challenge(money)
    let_it_expire(money)
    for _ in range(3):
        reverts_on_chain(money)
        an_hour_passes(money)
    for _ in range(2):
        money.reclaim()
        an_hour_passes(money)
    assert [status for _key, status in refunds(money)] == ["reverted"] * 3
    (row,) = violations(money.engine, "requests_dead").rows
    assert ":3 reverted: reverted in block" in row[-1]

    (made,) = request_ids(money)
    money.client.send(money.world.deployment.worker, "aivm_inference", "cancelExpired", made)
    money.follow()
    assert money.reclaim().reclaimed == [made]
    assert reclaimable(money.engine, money.now()) == []
    assert red(money) == []


def test_a_fee_that_came_back_although_our_reclaims_reverted_is_done(money: Money) -> None:
    a_requested_challenge(money)
    (made,) = request_ids(money)
    let_it_expire(money)
    for _ in range(2):
        reverts_on_chain(money)
        an_hour_passes(money)
    money.client.send(money.world.deployment.worker, "aivm_inference", "cancelExpired", made)
    money.follow()
    assert money.reclaim().reclaimed == [made]
    assert money.transactions("reclaim") == 2
    assert reclaimable(money.engine, money.now()) == []
    assert red(money) == []


@pytest.mark.parametrize("reverted_before", [False, True])
def test_a_fee_whose_return_a_reorg_takes_back_is_reclaimed_after_all(
    money: Money, reverted_before: bool
) -> None:
    a_requested_challenge(money)
    (made,) = request_ids(money)
    let_it_expire(money)
    if reverted_before:
        reverts_on_chain(money)
        an_hour_passes(money)
    else:
        die_at(money, "planned")
    before = money.world.rpc.call("evm_snapshot")
    money.client.send(money.world.deployment.worker, "aivm_inference", "cancelExpired", made)
    # Not in a confirmed block yet.
    assert money.reclaim().reclaimed == []
    assert money.world.rpc.call("evm_revert", [before])
    money.world.rpc.call("evm_mine")
    assert money.client.request(made).status == REQUESTED
    assert money.reclaim().reclaimed == [made]
    assert money.client.request(made).status == CANCELLED
    assert red(money) == []


def test_a_reclaim_that_reverted_stays_red_when_another_requests_fee_comes_back(
    money: Money,
) -> None:
    challenge = a_requested_challenge(money)
    let_it_expire(money)
    reverts_on_chain(money)
    assert money.request().submitted == [challenge]
    money.follow()
    let_it_expire(money)
    _, second = request_ids(money)
    assert money.reclaim().reclaimed == [second]
    assert red(money) == ["requests_dead", "intents_refused"]


def test_a_dead_request_is_not_noted_again_by_a_node_that_is_behind(
    money: Money, monkeypatch: pytest.MonkeyPatch
) -> None:
    challenge = money.challenge([ALICE, BOB], duration_s=3 * DAY)
    money.passes(challenge, BOB)
    made = money.client.request_inference(
        money.world.deployment.admin, challenge, BOB.address, model_digest=MODEL, params_hash=PARAMS
    )
    task = money.client.request(made).task_id
    builders.insert(
        money.engine,
        "public.aivm_jobs",
        challenge_id=challenge,
        status="submitted",
        attempts=0,
        task_id=task,
    )
    builders.execute(
        money.engine,
        "update public.challenges set proof = proof || cast(:patch as jsonb)",
        patch=builders.Jsonb({"taskBinding": {"requestId": str(made), "taskId": task}}),
    )
    then = money.now()
    let_it_expire(money)
    assert money.reclaim().requeued == [challenge]
    monkeypatch.setattr(type(money.world.contracts), "latest_timestamp", lambda _self: then)
    assert money.request().submitted == [challenge]
    assert money.job(challenge)["task_id"] != task
    assert len(request_ids(money)) == 2

"""One live request for each challenge, whoever dies on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.devnet.deploy import Deployment
from lightchallenge_dagster.rules.prompt import Prompt
from lightchallenge_dagster.steps.outbox import advanceable
from lightchallenge_dagster.steps.request import requestable
from tests import builders
from tests.steps.index_world import open_world
from tests.steps.money_world import BENCHMARK, MODEL, PARAMS, Money, users

ALICE, BOB, CAROL = users("alice", "bob", "carol")


class Killed(BaseException):
    """The worker's end."""


@pytest.fixture
def money(database: Engine, devnet: Deployment) -> Iterator[Money]:
    for world in open_world(database, devnet):
        yield Money.of(world)


def test_a_queued_job_becomes_one_request_and_says_so_in_job_and_proof(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.dispatch()
    assert requestable(money.engine) == [challenge]
    report = money.request()
    assert report.submitted == [challenge]
    (event,) = money.events("aivm_inference", "InferenceRequestedV2")
    job, proof = money.job(challenge), money.proof(challenge)
    assert job["status"] == "submitted"
    assert job["attempts"] == 0
    assert job["worker_address"] == money.requests.worker
    assert job["task_id"] == event.args["taskId"]
    assert proof["taskBinding"] == {
        "requestId": str(event.args["requestId"]),
        "taskId": event.args["taskId"],
        "schemaVersion": 1,
    }
    assert proof["verificationStatus"] == "requested"
    assert len(proof["requestTxHash"]) == 66
    assert proof["paramsHash"] == PARAMS
    assert event.args["model"] == "strava.distance@1"
    assert event.args["modelDigest"] == MODEL
    assert event.args["detConfigHash"] == PARAMS
    money.follow()
    assert requestable(money.engine) == []
    assert advanceable(money.engine) == []


def test_the_prompt_asks_about_the_own_subject_if_it_wins_and_else_about_the_best(
    money: Money,
) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, ALICE, passed=False)
    money.passes(challenge, BOB, score=7)
    money.requested(challenge)
    (event,) = money.events("aivm_inference", "InferenceRequestedV2")
    ((updated_at,),) = builders.rows(
        money.engine, "select updated_at from public.verdicts where pass"
    )
    prompt = Prompt(
        challenge_id=challenge,
        subject=BOB.address,
        model_id="strava.distance@1",
        model_digest=MODEL,
        params_hash=PARAMS,
        benchmark_hash=BENCHMARK,
        passed=True,
        score=Decimal(7),
        evidence_hash=builders.HASH,
        evaluated_ts=int(updated_at.timestamp()),
    )
    assert event.args["promptId"] == prompt.prompt_id()
    assert event.args["promptHash"] == prompt.prompt_hash()


@pytest.mark.parametrize(
    "boundary",
    ["planned", "simulated", "signed", "stored", "sent", "broadcast", "receipt", "mined"],
)
def test_a_worker_that_dies_anywhere_leaves_one_request(money: Money, boundary: str) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.dispatch()

    def die(reached: str, _key: str) -> None:
        if reached == boundary:
            raise Killed

    money.observe = die
    with pytest.raises(Killed):
        money.request()
    money.observe = lambda _boundary, _key: None
    builders.execute(money.engine, "update pipeline.job_claims set expires_at = '-infinity'")
    money.outbox().resume()
    assert money.request().submitted == [challenge]
    assert len(money.events("aivm_inference", "InferenceRequestedV2")) == 1
    money.follow()
    assert money.job(challenge)["status"] == "submitted"
    assert money.job(challenge)["task_id"] is not None
    assert requestable(money.engine) == []
    assert advanceable(money.engine) == []


def test_a_job_somebody_works_on_is_nobody_elses(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.dispatch()
    seen: list[list[int]] = []
    money.observe = lambda _boundary, _key: seen.append(requestable(money.engine))
    money.request()
    assert seen
    assert not any(seen)


def test_only_refusals_count_and_the_last_one_makes_the_job_dead(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.dispatch()
    money.requests = replace(money.requests, request_fee_wei=5, max_attempts=2)
    assert money.request().failed == [challenge]
    job = money.job(challenge)
    assert (job["status"], job["attempts"], job["last_error"]) == ("failed", 1, "InsufficientFee")
    assert requestable(money.engine) == []
    money.retry_now()
    assert money.request().dead == [challenge]
    assert money.job(challenge)["status"] == "dead"
    money.retry_now()
    assert requestable(money.engine) == []
    assert money.transactions("request") == 0


def test_an_empty_wallet_waits_without_an_attempt(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.dispatch()
    money.world.rpc.call("anvil_setBalance", [money.requests.worker, "0x10"])
    report = money.request()
    assert report.waiting == [challenge]
    assert money.requests.worker in report.errors[0]
    job = money.job(challenge)
    assert (job["status"], job["attempts"]) == ("queued", 0)
    assert requestable(money.engine) == []
    money.world.rpc.call("anvil_setBalance", [money.requests.worker, hex(10**18)])
    money.retry_now()
    assert money.request().submitted == [challenge]


def test_a_paused_challenge_waits_and_an_ended_one_is_skipped_although_not_indexed_yet(
    money: Money,
) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.dispatch()
    money.client.pause(challenge)
    assert money.request().waiting == [challenge]
    assert requestable(money.engine) == []
    money.client.pause(challenge, False)
    money.client.travel_to(money.client.challenge(challenge).proof_deadline_ts)
    money.client.finalize(ALICE, challenge)
    money.retry_now()
    assert money.request().ended == [challenge]
    assert money.job(challenge)["status"] == "skipped"
    assert money.events("aivm_inference", "InferenceRequestedV2") == []


def test_nobody_passing_any_more_holds_the_request(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.dispatch()
    builders.execute(money.engine, "update public.verdicts set pass = false")
    assert money.request().waiting == [challenge]
    assert money.job(challenge)["last_error"] == "nobody passes any more"
    assert requestable(money.engine) == []


def test_a_job_follows_a_network_that_was_faster_than_its_note(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.dispatch()

    def die(reached: str, _key: str) -> None:
        if reached == "receipt":
            raise Killed

    money.observe = die
    with pytest.raises(Killed):
        money.request()
    money.observe = lambda _boundary, _key: None
    money.answer()
    builders.execute(money.engine, "delete from pipeline.leases")
    money.outbox().resume()
    money.request()
    assert money.job(challenge)["status"] == "done"
    assert money.proof(challenge)["verificationStatus"] == "finalized"


def test_a_request_that_a_reorg_gave_another_id_is_noted_anew(money: Money) -> None:
    money.policy = replace(money.policy, confirmations=20)
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.dispatch()
    (stranger,) = users("stranger")
    money.client.fund(stranger)
    money.follow()
    before = money.world.rpc.call("evm_snapshot", [])
    money.request()
    money.follow()
    noted = money.proof(challenge)["taskBinding"]
    money.world.rpc.call("evm_revert", [before])
    theirs = money.client.request_inference(stranger, 999, stranger.address)
    assert noted["requestId"] == str(theirs)
    money.outbox().resume()  # sends it again
    money.outbox().resume()  # finds its block
    money.follow()
    assert requestable(money.engine) == [challenge]
    money.request()
    assert requestable(money.engine) == []
    (ours,) = [
        event
        for event in money.events("aivm_inference", "InferenceRequestedV2")
        if event.args["requester"].lower() == money.requests.worker
    ]
    assert money.job(challenge)["task_id"] == ours.args["taskId"] != noted["taskId"]
    assert money.proof(challenge)["taskBinding"]["requestId"] == str(ours.args["requestId"])
    money.answer()
    money.settle()
    money.settle()
    assert money.client.is_winner(challenge, BOB.address)


@pytest.mark.parametrize("status", ["queued", "failed", "processing"])
def test_a_request_that_an_earlier_worker_made_is_taken_over_and_not_made_again(
    money: Money, status: str
) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    made = an_earlier_workers_request(money, challenge, status)
    if status == "processing":
        assert requestable(money.engine) == [], "the earlier worker may be about to send it"
        builders.execute(
            money.engine, "update public.aivm_jobs set updated_at = now() - interval '16 minutes'"
        )
    assert requestable(money.engine) == [challenge]
    assert money.request().submitted == [challenge]
    assert len(money.events("aivm_inference", "InferenceRequestedV2")) == 1
    assert money.job(challenge)["status"] == "submitted"
    assert money.job(challenge)["task_id"] == money.client.request(made).task_id
    money.answer()
    money.settle()
    assert money.client.is_winner(challenge, BOB.address)
    money.follow()
    assert money.idle()


def test_an_earlier_workers_request_that_expired_is_made_again(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB], duration_s=86400)
    money.passes(challenge, BOB)
    an_earlier_workers_request(money, challenge, "queued")
    money.client.travel(3600)
    money.follow()
    assert money.request().submitted == [challenge]
    assert len(money.events("aivm_inference", "InferenceRequestedV2")) == 2


def an_earlier_workers_request(money: Money, challenge: int, status: str) -> int:
    worker = money.world.deployment.worker
    made = money.client.request_inference(
        worker, challenge, BOB.address, model_digest=MODEL, params_hash=PARAMS
    )
    task = money.client.request(made).task_id
    binding = {"requestId": str(made), "taskId": task, "schemaVersion": 1}
    builders.execute(
        money.engine,
        "update public.challenges set proof = proof || cast(:patch as jsonb)",
        patch=builders.Jsonb({"taskBinding": binding}),
    )
    builders.insert(
        money.engine, "public.aivm_jobs", challenge_id=challenge, status=status, attempts=0
    )
    money.follow()
    return made


# ── rows that spoil their own job only ──────────────────────────────────────────────────────


def test_a_cancellation_that_a_reorg_takes_out_ends_no_job(money: Money) -> None:
    challenge = money.challenge([ALICE, BOB])
    money.passes(challenge, BOB)
    money.dispatch()
    before = money.world.rpc.call("evm_snapshot", [])
    money.client.cancel(ALICE, challenge)
    assert money.request().waiting == [challenge]
    assert money.job(challenge)["last_error"] == "NotActive"
    money.world.rpc.call("evm_revert", [before])
    money.retry_now()
    assert money.request().submitted == [challenge]


def test_a_subject_that_is_no_address_stops_its_own_job_only(money: Money) -> None:
    odd, good = money.challenge([ALICE, BOB]), money.challenge([ALICE, CAROL])
    builders.execute(
        money.engine, "update public.challenges set subject = 'demo-user' where id = :id", id=odd
    )
    builders.verdict(money.engine, odd, "demo-user")
    money.passes(good, CAROL)
    money.dispatch()
    report = money.request()
    assert (report.waiting, report.submitted) == ([odd], [good])
    assert money.job(odd)["last_error"] == "its subject 'demo-user' is no address"
    assert requestable(money.engine) == []


def test_a_value_that_no_contract_takes_stops_its_own_job_only(
    money: Money, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd, good = money.challenge([ALICE, BOB]), money.challenge([ALICE, CAROL])
    money.passes(odd, BOB)
    money.passes(good, CAROL)
    money.dispatch()
    hashed = Prompt.prompt_hash

    def spoiled(self: Prompt) -> str:
        return "0xnonsense" if self.challenge_id == odd else hashed(self)

    monkeypatch.setattr(Prompt, "prompt_hash", spoiled)
    report = money.request()
    assert (report.waiting, report.submitted) == ([odd], [good])
    assert money.job(odd)["last_error"].startswith("its request cannot be written: ")
    assert requestable(money.engine) == []


@pytest.mark.parametrize("somebody_else_died", [False, True])
def test_a_noted_request_is_taken_over_whatever_died_elsewhere(
    money: Money, somebody_else_died: bool
) -> None:
    if somebody_else_died:
        first = money.challenge([ALICE, BOB], duration_s=3 * 86400)
        money.passes(first, BOB)
        money.requested(first)
        money.client.travel(2 * 3600)
        money.follow()
        assert money.reclaim().lost
        money.request()
        money.follow()
    challenge = money.challenge([ALICE, BOB], duration_s=3 * 86400)
    money.passes(challenge, BOB)
    made = money.client.request_inference(
        money.world.deployment.worker,
        challenge,
        BOB.address,
        model_digest=MODEL,
        params_hash=PARAMS,
    )
    noted = {"requestId": str(made), "taskId": money.client.request(made).task_id}
    builders.execute(
        money.engine,
        "update public.challenges set proof = proof || cast(:patch as jsonb) where id = :id",
        patch=builders.Jsonb({"taskBinding": noted}),
        id=challenge,
    )
    builders.insert(
        money.engine, "public.aivm_jobs", challenge_id=challenge, status="queued", attempts=0
    )
    money.follow()
    before = money.events("aivm_inference", "InferenceRequestedV2")
    assert money.request().submitted == [challenge]
    assert money.events("aivm_inference", "InferenceRequestedV2") == before

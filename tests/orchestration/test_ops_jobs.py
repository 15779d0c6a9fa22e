"""The ops jobs as an operator launches them: what they do, say, and leave alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dagster import DagsterInstance
from dagster._serdes import serialize_value

from lightchallenge_dagster.definitions import build_defs
from lightchallenge_dagster.devnet import wallets
from lightchallenge_dagster.resources.policy import Policy
from lightchallenge_dagster.resources.signers import SignersResource
from lightchallenge_dagster.settings import Settings
from lightchallenge_dagster.steps import index
from tests import builders as b
from tests.orchestration.conftest import World
from tests.orchestration.ops_world import Shop, open_shop, reason, table
from tests.steps.money_world import PROOF_FIELDS, users

ANN, BOB = users("ann", "bob")


@pytest.fixture
def shop(world: World, instance: DagsterInstance) -> Iterator[Shop]:
    world.resources["signers"] = SignersResource(
        worker_key=wallets.worker().key,
        finalize_key=wallets.finalizer().key,
        metadata_key=wallets.metadata_owner().key,
    )
    world.resources["policy"] = Policy(base_url="https://app.example")
    yield from open_shop(world, instance)


def found(shown: dict[str, Any]) -> list[dict[str, str]]:
    return table(shown["found"])


def nothing_changes(shop: Shop, act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    chain, rows = shop.chain(), shop.everything()
    shown = act()
    assert shop.chain() == chain
    assert shop.everything() == rows
    return shown


def job(shop: Shop, challenge_id: int, status: str, **columns: Any) -> None:
    values: dict[str, Any] = {"attempts": 0} | columns
    b.insert(
        shop.world.database, "public.aivm_jobs", challenge_id=challenge_id, status=status, **values
    )


def claim(shop: Shop, challenge_id: int, *, alive: bool) -> None:
    now = datetime.now(UTC)
    b.insert(
        shop.world.database,
        "pipeline.job_claims",
        challenge_id=challenge_id,
        token=3,
        worker="request on host-1",
        claimed_at=now - timedelta(hours=2),
        heartbeat_at=now - timedelta(hours=0 if alive else 1),
        expires_at=now + timedelta(hours=1 if alive else -1),
    )


def jobs(shop: Shop) -> list[tuple[Any, ...]]:
    query = "select challenge_id, status, attempts from public.aivm_jobs order by 1"
    return b.rows(shop.world.database, query)


# ── run_aivm_job ────────────────────────────────────────────────────────────────────────────


def steps(shown: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {row["step"]: (row["result"], row["reason"]) for row in found(shown)}


def test_one_challenge_is_dispatched_and_requested_by_its_id_and_no_other(shop: Shop) -> None:
    mine, other = (shop.money.challenge([ANN, BOB]) for _ in range(2))
    for challenge in (mine, other):
        shop.money.passes(challenge, ANN)

    shown = shop.shown("run_aivm_job", challenge_id=mine)

    assert steps(shown) == {
        "dispatch": ("queued", ""),
        "request": ("submitted", ""),
        "settle": ("nothing is due", ""),
    }
    assert jobs(shop) == [(mine, "submitted", 0)]
    assert shown["job_status"] == "submitted"


def test_running_it_once_more_sends_no_second_request_and_settles_what_is_due(shop: Shop) -> None:
    challenge = shop.money.challenge([ANN, BOB])
    shop.money.passes(challenge, ANN)
    shop.shown("run_aivm_job", challenge_id=challenge)
    shop.money.answer()

    shown = shop.shown("run_aivm_job", challenge_id=challenge)

    assert steps(shown)["request"] == ("the job is done", "")
    assert steps(shown)["settle"] == ("1 bound, 1 proved", "")
    assert shop.money.winners(challenge, [ANN, BOB]) == [ANN.address]
    assert len(shop.money.events("aivm_inference", "InferenceRequestedV2")) == 1


def test_a_dry_run_of_one_challenge_shows_its_request_and_changes_nothing(shop: Shop) -> None:
    challenge = shop.money.challenge([ANN, BOB])
    shop.money.passes(challenge, ANN)

    shown = nothing_changes(
        shop, lambda: shop.shown("run_aivm_job", challenge_id=challenge, dry_run=True)
    )

    (row,) = table(shown["would_be_sent"])
    assert (row["kind"], row["challenge"]) == ("request", str(challenge))
    assert steps(shown)["dispatch"] == ("queued", "")


def a_challenge_without(field: str) -> Callable[[Shop], int]:
    def arrange(shop: Shop) -> int:
        fields = {key: one for key, one in PROOF_FIELDS.items() if key != field}
        challenge = shop.money.challenge([ANN, BOB], proof=fields)
        shop.money.passes(challenge, ANN)
        return challenge

    return arrange


def nobody_passed(shop: Shop) -> int:
    return shop.money.challenge([ANN, BOB])


def past_its_deadline(shop: Shop) -> int:
    challenge = shop.money.challenge([ANN, BOB])
    shop.money.passes(challenge, ANN)
    shop.money.to_deadline(challenge)
    shop.money.client.travel(10)
    return challenge


def paused(shop: Shop) -> int:
    challenge = shop.money.challenge([ANN, BOB])
    shop.money.passes(challenge, ANN)
    shop.money.client.pause(challenge)
    shop.money.follow()
    return challenge


def canceled(shop: Shop) -> int:
    challenge = shop.money.challenge([ANN, BOB])
    shop.money.client.cancel(ANN, challenge)
    shop.money.follow()
    return challenge


@pytest.mark.parametrize(
    ("arrange", "says"),
    [
        (a_challenge_without("paramsHash"), "it lacks proof.paramsHash"),
        (nobody_passed, "nobody has passed yet"),
        (past_its_deadline, "the proof deadline has passed"),
        (paused, "it is Paused here and Paused on chain"),
        (canceled, "the challenge is Canceled"),
        (lambda _shop: 4711, "there is no such challenge"),
        (lambda shop: b.challenge(shop.world.database, 99, chain=False), "is not indexed"),
    ],
    ids=["a missing field", "nobody passed", "deadline", "paused", "canceled", "unknown", "old"],
)
def test_a_gate_that_is_shut_is_named_and_nothing_is_queued(
    shop: Shop, arrange: Callable[[Shop], int], says: str
) -> None:
    challenge = arrange(shop)
    shown = shop.shown("run_aivm_job", challenge_id=challenge)
    result, why = steps(shown)["dispatch"]
    assert result == "not queued"
    assert says in why
    assert jobs(shop) == []


def test_a_dead_job_says_how_it_died_and_runs_again_when_asked_to(shop: Shop) -> None:
    challenge = shop.money.challenge([ANN, BOB])
    shop.money.passes(challenge, ANN)
    job(shop, challenge, "dead", attempts=10, last_error="InsufficientFee")

    shown = shop.shown("run_aivm_job", challenge_id=challenge)
    assert steps(shown)["request"][0] == "not sent"
    assert "10 attempts failed, the last by InsufficientFee" in steps(shown)["request"][1]
    assert jobs(shop) == [(challenge, "dead", 10)]

    shown = shop.shown("run_aivm_job", challenge_id=challenge, again=True)
    assert steps(shown)["again"] == ("queued", "it was dead after 10 attempts")
    assert steps(shown)["request"] == ("submitted", "")
    assert jobs(shop)[0][:2] == (challenge, "submitted")


def test_a_dead_job_of_an_ended_challenge_is_not_run_again(shop: Shop) -> None:
    challenge = canceled(shop)
    job(shop, challenge, "dead", attempts=10)
    shown = shop.shown("run_aivm_job", challenge_id=challenge, again=True)
    assert steps(shown)["again"] == ("refused", "the challenge is Canceled")
    assert jobs(shop) == [(challenge, "dead", 10)]


def test_a_request_that_ran_out_of_time_is_given_up_and_made_anew(shop: Shop) -> None:
    mine, other = (shop.money.challenge([ANN, BOB], duration_s=3 * 86400) for _ in range(2))
    for challenge in (mine, other):
        shop.money.passes(challenge, ANN)
        shop.shown("run_aivm_job", challenge_id=challenge)
    shop.money.follow()
    shop.money.client.travel(7200)
    shop.money.follow()

    shown = steps(shop.shown("run_aivm_job", challenge_id=mine))

    assert shown["reclaim"][0] == "its fee is taken back"
    assert "nobody committed to it in time" in shown["reclaim"][1]
    assert shown["request"] == ("submitted", "")
    client = shop.money.client
    assert [client.request(number).status for number in (1, 2, 3)] == [5, 1, 1], "no other one"


def test_a_job_that_a_living_worker_is_at_is_left_to_it(shop: Shop) -> None:
    challenge = shop.money.challenge([ANN, BOB])
    shop.money.passes(challenge, ANN)
    job(shop, challenge, "processing")
    claim(shop, challenge, alive=True)
    shown = shop.shown("run_aivm_job", challenge_id=challenge)
    assert steps(shown)["request"] == ("not taken", "a worker is at it: request on host-1")


# ── cancel_terminal_jobs ────────────────────────────────────────────────────────────────────


def test_jobs_of_ended_challenges_are_shown_first_and_canceled_when_told(shop: Shop) -> None:
    shop.money.follow()
    database = shop.world.database
    b.challenge(database, 1001, status="Finalized", chain=False)
    b.challenge(database, 1002)
    for challenge in (1001, 1002):
        job(shop, challenge, "failed", attempts=2, last_error="boom")

    shown = nothing_changes(shop, lambda: shop.shown("cancel_terminal_jobs"))
    assert shown["dry_run"] is True
    (row,) = found(shown)
    assert (row["challenge id"], row["job status"], row["last error"]) == ("1001", "failed", "boom")

    shown = shop.shown("cancel_terminal_jobs", dry_run=False)
    assert shown["dry_run"] is False
    assert jobs(shop) == [(1001, "canceled", 2), (1002, "failed", 2)]
    assert shop.shown("cancel_terminal_jobs", dry_run=False)["found"] == "Nothing was found."


# ── backfill_chain_outcome ──────────────────────────────────────────────────────────────────


def finalized_before_the_first_indexed_block(shop: Shop, *, wins: bool = False) -> int:
    """As an existing database has it: Finalized by the old indexer, without an outcome."""
    client = shop.money.client
    client.fund(ANN, BOB)
    challenge = client.create_challenge(ANN)
    client.travel_to(client.challenge(challenge).proof_deadline_ts)
    client.finalize(ANN, challenge)
    b.insert(shop.world.database, "public.challenges", id=challenge, status="Finalized")
    return challenge


def outcome(shop: Shop, challenge: int) -> int | None:
    query = "select chain_outcome from public.challenges where id = :id"
    ((value,),) = b.rows(shop.world.database, query, id=challenge)
    return value


def test_an_outcome_that_was_never_indexed_is_read_from_the_contract(shop: Shop) -> None:
    challenge = finalized_before_the_first_indexed_block(shop)
    database = shop.world.database
    b.challenge(database, 1001, status="Finalized", chain=False)
    active = shop.money.client.create_challenge(ANN)
    b.insert(database, "public.challenges", id=active, status="finalized")

    shown = nothing_changes(shop, lambda: shop.shown("backfill_chain_outcome"))
    assert (shown["written"], shown["left"]) == (1, 2)

    shop.shown("backfill_chain_outcome", dry_run=False)
    assert outcome(shop, challenge) == 2
    assert outcome(shop, 1001) is None
    assert outcome(shop, active) is None
    rows = {int(row["challenge id"]): row for row in found(shown)}
    assert rows[challenge]["outcome"] == "Fail"
    assert "knows no such challenge" in rows[1001]["problem"]
    assert "it is Active on chain" in rows[active]["problem"]


def test_a_row_that_can_be_no_challenge_of_the_contract_stops_no_backfill(shop: Shop) -> None:
    challenge = finalized_before_the_first_indexed_block(shop)
    for number in (-1, 0):
        b.insert(shop.world.database, "public.challenges", id=number, status="Finalized")
    shown = shop.shown("backfill_chain_outcome", dry_run=False)
    assert (shown["written"], shown["left"]) == (1, 0)
    assert outcome(shop, challenge) == 2


def test_an_outcome_that_was_filled_in_outlives_a_rebuild_of_the_table(shop: Shop) -> None:
    challenge = finalized_before_the_first_indexed_block(shop)
    database = shop.world.database
    # The indexer has adopted the row by a later event, and starts each rebuild from how it was.
    b.insert(
        database,
        "pipeline.adopted_rows",
        table_name="challenges",
        row_key=str(challenge),
        before={"status": "Finalized", "chain_outcome": None, "tx_hash": None},
    )
    shop.shown("backfill_chain_outcome", dry_run=False)
    index.rebuild(database, shop.money.world.policy, "challenges")
    assert outcome(shop, challenge) == 2


def test_an_outcome_that_is_there_is_never_overwritten(shop: Shop) -> None:
    challenge = finalized_before_the_first_indexed_block(shop)
    b.execute(shop.world.database, "update public.challenges set chain_outcome = 1")
    assert shop.shown("backfill_chain_outcome", dry_run=False)["found"] == "Nothing was found."
    assert outcome(shop, challenge) == 1


# ── reset_stuck_jobs ────────────────────────────────────────────────────────────────────────


def test_jobs_that_hang_in_processing_are_queued_again_and_working_ones_left(shop: Shop) -> None:
    shop.money.follow()
    old = datetime.now(UTC) - timedelta(minutes=45)
    for challenge in (1001, 1002, 1003, 1004):
        b.challenge(shop.world.database, challenge)
    job(shop, 1001, "processing", attempts=2, updated_at=old)  # an old worker's, never claimed
    job(shop, 1002, "processing", updated_at=old)
    claim(shop, 1002, alive=False)
    job(shop, 1003, "processing", updated_at=old)
    claim(shop, 1003, alive=True)
    job(shop, 1004, "dead", attempts=10, updated_at=old)
    before = jobs(shop)

    shown = nothing_changes(shop, lambda: shop.shown("reset_stuck_jobs"))
    assert shown["reset"] == [1001, 1002]

    shop.shown("reset_stuck_jobs", dry_run=False)
    assert jobs(shop) == [
        (1001, "queued", 2),
        (1002, "queued", 0),
        before[2],
        before[3],
    ]


def test_a_job_hangs_only_after_the_minutes_that_are_given(shop: Shop) -> None:
    b.challenge(shop.world.database, 1001)
    old = datetime.now(UTC) - timedelta(minutes=45)
    job(shop, 1001, "processing", updated_at=old)
    shop.shown("reset_stuck_jobs", dry_run=False, minutes=60)
    assert jobs(shop) == [(1001, "processing", 0)]
    shop.shown("reset_stuck_jobs", dry_run=False, minutes=40)
    assert jobs(shop) == [(1001, "queued", 0)]


def test_failed_and_dead_jobs_are_reset_only_by_their_challenge(shop: Shop) -> None:
    for challenge in (1001, 1002, 1003):
        b.challenge(shop.world.database, challenge)
        job(shop, challenge, "dead", attempts=10, last_error="NotAdmin")
    b.execute(shop.world.database, "update public.challenges set status = 'Rejected' where id=1003")

    shown = shop.shown("reset_stuck_jobs", dry_run=False, challenge_ids=[1001, 1003, 5])

    assert jobs(shop) == [(1001, "queued", 0), (1002, "dead", 10), (1003, "dead", 10)]
    rows = {row["challenge id"]: row for row in found(shown)}
    assert "10 attempts forgiven" in rows["1001"]["reason"]
    assert "run cancel_terminal_jobs" in rows["1003"]["reason"]
    assert rows["5"]["reason"] == "it has no job"


def test_a_job_named_by_its_challenge_is_left_while_its_worker_may_live(shop: Shop) -> None:
    for challenge in (1001, 1002):
        b.challenge(shop.world.database, challenge)
        job(shop, challenge, "processing")
    shown = shop.shown("reset_stuck_jobs", dry_run=False, challenge_ids=[1001])
    assert found(shown)[0]["reason"] == "it was heard of less than 30 minutes ago"
    shop.shown("reset_stuck_jobs", dry_run=False, challenge_ids=[1001], minutes=0)
    assert jobs(shop) == [(1001, "queued", 0), (1002, "processing", 0)]


# ── backfill_metadata_registry ──────────────────────────────────────────────────────────────


def registered(shop: Shop) -> list[tuple[Any, ...]]:
    query = "select id, registry_status, registry_error from public.challenges order by id"
    return b.rows(shop.world.database, query)


def uri(shop: Shop, challenge: int) -> str:
    client = shop.money.client
    return str(client.view("metadata_registry", "uri", client.address("challengepay"), challenge))


def ours(challenge: int) -> str:
    return f"https://app.example/api/challenges/meta/{challenge}"


def test_missing_uris_are_shown_first_and_set_once_when_told(shop: Shop) -> None:
    challenge = shop.money.challenge([ANN, BOB])

    shown = nothing_changes(shop, lambda: shop.shown("backfill_metadata_registry"))
    (row,) = table(shown["would_be_sent"])
    assert row["kind"] == "metadata"
    assert row["wallet"] == shop.world.devnet.metadata_owner_address

    shown = shop.shown("backfill_metadata_registry", dry_run=False)
    assert shown["set"] == [challenge]
    assert uri(shop, challenge) == ours(challenge)
    assert registered(shop) == [(challenge, "success", None)]
    ((tx_hash,),) = b.rows(shop.world.database, "select registry_tx_hash from public.challenges")
    assert b.rows(shop.world.database, "select hash from pipeline.transactions") == [(tx_hash,)]

    assert shop.shown("backfill_metadata_registry", dry_run=False)["found"] == "Nothing was found."
    assert len(shop.money.events("metadata_registry", "MetadataSet")) == 1


def set_by_hand(shop: Shop, challenge: int, value: str) -> None:
    client = shop.money.client
    owner = shop.world.devnet.metadata_owner
    pay = client.address("challengepay")
    client.send(owner, "metadata_registry", "ownerSet", pay, challenge, value)


def test_a_uri_that_is_there_already_is_success_without_a_transaction(shop: Shop) -> None:
    challenge = shop.money.challenge([ANN, BOB])
    set_by_hand(shop, challenge, ours(challenge))
    b.execute(
        shop.world.database,
        "update public.challenges set registry_status = 'failed', registry_error = 'AlreadySet'",
    )
    chain = shop.chain()
    assert shop.shown("backfill_metadata_registry", dry_run=False)["there"] == [challenge]
    assert shop.chain() == chain
    assert registered(shop) == [(challenge, "success", None)]


def test_another_uri_is_reported_and_never_overwritten(shop: Shop) -> None:
    challenge = shop.money.challenge([ANN, BOB])
    set_by_hand(shop, challenge, "ipfs://elsewhere")
    shown = shop.shown("backfill_metadata_registry", dry_run=False)
    assert shown["differs"] == [challenge]
    assert uri(shop, challenge) == "ipfs://elsewhere"
    assert registered(shop) == [
        (challenge, "failed", "MetadataRegistry holds another URI: ipfs://elsewhere")
    ]


def test_a_uri_that_the_owner_cleared_is_not_put_back(shop: Shop) -> None:
    challenge = shop.money.challenge([ANN, BOB])
    shop.shown("backfill_metadata_registry", dry_run=False)
    client = shop.money.client
    client.send(
        shop.world.devnet.metadata_owner,
        "metadata_registry",
        "ownerClear",
        client.address("challengepay"),
        challenge,
    )
    b.execute(shop.world.database, "update pipeline.intents set status = 'confirmed'")
    b.execute(shop.world.database, "update public.challenges set registry_status = 'pending'")
    assert shop.shown("backfill_metadata_registry", dry_run=False)["differs"] == [challenge]
    assert uri(shop, challenge) == ""


def test_a_batch_is_no_larger_than_told_and_is_not_used_up_by_what_cannot_be_set(
    shop: Shop,
) -> None:
    shop.money.follow()
    b.challenge(shop.world.database, 1, chain=False)  # no challenge of this contract
    challenges = [shop.money.challenge([ANN, BOB]) for _ in range(3)]
    shown = shop.shown("backfill_metadata_registry", dry_run=False, batch_size=2)
    assert shown["set"] == challenges[:2]
    assert shown["unknown"] == [1]
    assert shown["left"] == 1
    shop.world.resources["policy"] = Policy(base_url="https://app.example", metadata_batch_size=1)
    assert shop.shown("backfill_metadata_registry", dry_run=False)["set"] == challenges[2:]


def test_a_wallet_that_is_not_the_owner_is_named_with_the_owner(shop: Shop) -> None:
    shop.money.challenge([ANN, BOB])
    shop.world.resources["signers"] = SignersResource(
        worker_key=wallets.worker().key, metadata_key=wallets.worker().key
    )
    result = shop.run("backfill_metadata_registry", dry_run=False)
    why = reason(result)
    assert "NotOwner" in why
    assert shop.world.devnet.worker_address in why
    assert shop.world.devnet.metadata_owner_address in why
    assert registered(shop)[0][1] == "pending"


def test_nothing_that_the_registry_job_writes_holds_its_key(
    shop: Shop, instance: DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    shop.money.challenge([ANN, BOB])
    key = wallets.metadata_owner().key.removeprefix("0x")
    result = shop.run("backfill_metadata_registry", dry_run=False)
    written = "".join(serialize_value(event) for event in instance.all_logs(result.run_id))
    assert "backfill_metadata_registry" in written
    assert key not in written + caplog.text + str(shop.everything())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"policy": Policy()}, "BASE_URL"),
        ({"signers": SignersResource(worker_key=wallets.worker().key)}, "METADATA_REGISTRY_KEY"),
    ],
)
def test_a_setting_that_the_registry_job_needs_is_asked_for_by_name(
    shop: Shop, change: dict[str, Any], says: str
) -> None:
    shop.world.resources.update(change)
    assert says in reason(shop.run("backfill_metadata_registry", dry_run=False))


# ── reconcile ───────────────────────────────────────────────────────────────────────────────


def test_reconcile_reports_by_default_and_repairs_when_told_without_a_transaction(
    shop: Shop,
) -> None:
    challenge = shop.money.challenge([ANN, BOB])
    b.execute(shop.world.database, "update public.challenges set status = 'Canceled'")

    shown = nothing_changes(shop, lambda: shop.shown("reconcile"))
    assert (shown["differences"], shown["left"], shown["by_subject"]) == (1, 1, {"status": 1})
    (row,) = found(shown)
    assert (row["challenge id"], row["database"], row["chain"]) == (
        str(challenge),
        "canceled",
        "active",
    )
    assert row["state"] == "ours: run with repair"

    shown = nothing_changes(shop, lambda: shop.shown("reconcile", repair=True, dry_run=True))
    assert found(shown)[0]["state"] == "would be repaired"

    chain = shop.chain()
    shown = shop.shown("reconcile", repair=True)
    assert shop.chain() == chain
    assert shown["left"] == 0
    assert found(shown)[0]["state"] == "repaired"
    assert shop.shown("reconcile")["found"] == "Nothing was found."


def test_what_strangers_wrote_is_shown_in_tables_as_text(shop: Shop) -> None:
    b.challenge(shop.world.database, 1001)
    evil = "<img src=x onerror=alert(1)> [a](javascript:1) | x"
    job(shop, 1001, "processing", last_error=evil, updated_at=datetime(2026, 1, 1, tzinfo=UTC))
    b.execute(shop.world.database, "update public.challenges set status = 'Rejected'")
    shown = shop.shown("cancel_terminal_jobs")["found"]
    assert "<img" not in shown
    assert r"\[a\]" in shown, "a link is none"
    assert len(shown.splitlines()) == 3


def test_the_jobs_that_repair_are_dry_runs_unless_told_and_say_so() -> None:
    definitions = build_defs(Settings())
    for name in (
        "cancel_terminal_jobs",
        "backfill_chain_outcome",
        "backfill_metadata_registry",
        "reset_stuck_jobs",
    ):
        told = definitions.resolve_job_def(name).description or ""
        assert "A dry run unless dry_run is switched off." in told, name
    for name in ("run_aivm_job", "reconcile"):
        assert definitions.resolve_job_def(name).description

"""A dry run shows what would be sent and changes nothing, neither on chain nor in a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from dagster import DagsterInstance

from lightchallenge_dagster.jobs.money import REQUEST_LEASE
from lightchallenge_dagster.resources.policy import Policy
from lightchallenge_dagster.storage import leases
from tests import builders as b
from tests.orchestration.conftest import World
from tests.orchestration.ops_world import Shop, metadata, open_shop, table
from tests.steps.money_world import users
from tests.steps.test_settle import a_competition

ANN, BOB = users("ann", "bob")


@pytest.fixture
def shop(world: World, instance: DagsterInstance) -> Iterator[Shop]:
    yield from open_shop(world, instance)


def nothing_happens(shop: Shop, job: str) -> dict[str, object]:
    """What a dry run of the job shows, after making sure that it did nothing."""
    chain, rows = shop.chain(), shop.everything()
    shown = shop.shown(job, dry_run=True)
    assert shop.chain() == chain
    assert shop.everything() == rows
    assert shown["dry_run"] is True
    return shown


def a_challenge_that_ann_passes(shop: Shop) -> int:
    challenge = shop.money.challenge([ANN, BOB])
    shop.money.passes(challenge, ANN)
    return challenge


def test_a_dry_run_of_requests_shows_the_request_and_what_it_costs_at_most(shop: Shop) -> None:
    challenge = a_challenge_that_ann_passes(shop)

    shown = nothing_happens(shop, "request_inferences")

    (row,) = table(str(shown["would_be_sent"]))
    assert row["kind"] == "request"
    assert row["challenge"] == str(challenge)
    assert row["wallet"] == shop.world.devnet.worker_address
    assert row["to"] == shop.world.devnet.aivm_inference
    assert row["value (wei)"] == str(10**15)
    assert 10**15 + int(row["gas"]) * int(row["wei per gas"]) == wei(row["costs at most"])
    assert shown["transactions"] == 1
    assert shown["costs_at_most"] == row["costs at most"]

    before = shop.money.client.balance(shop.world.devnet.worker_address)
    shop.shown("request_inferences")
    paid = before - shop.money.client.balance(shop.world.devnet.worker_address)
    assert 10**15 < paid <= wei(row["costs at most"]), "it was an upper bound"


def wei(amount: str) -> int:
    whole, _, decimals = amount.removesuffix(" LCAI").partition(".")
    return int(whole) * 10**18 + int(decimals.ljust(18, "0"))


def test_dry_runs_of_bindings_proofs_and_finalize_show_each_and_do_none(shop: Shop) -> None:
    money = shop.money
    challenge = a_challenge_that_ann_passes(shop)
    money.requested(challenge)

    (bind,) = table(str(nothing_happens(shop, "settle_winners")["would_be_sent"]))
    assert (bind["kind"], bind["to"]) == ("bind", shop.world.devnet.task_registry)
    assert bind["intent"].startswith(f"bind:{challenge}:{ANN.address}")
    money.settle()
    money.answer()

    (proof,) = table(str(nothing_happens(shop, "settle_winners")["would_be_sent"]))
    assert (proof["kind"], proof["wallet"]) == ("proof", shop.world.devnet.finalizer_address)
    assert not money.client.is_winner(challenge, ANN.address)
    money.settle()
    money.to_deadline(challenge)

    (end,) = table(str(nothing_happens(shop, "finalize_challenges")["would_be_sent"]))
    assert (end["kind"], end["challenge"]) == ("finalize", str(challenge))
    assert money.client.challenge(challenge).status == 0
    shop.shown("finalize_challenges")
    assert money.client.challenge(challenge).status == 1


def test_a_dry_run_shows_the_fee_taken_back_and_the_new_request(shop: Shop) -> None:
    money = shop.money
    challenge = money.challenge([ANN, BOB], duration_s=3 * 86400)
    money.passes(challenge, ANN)
    money.requested(challenge)
    money.client.travel(7200)
    money.follow()

    shown = nothing_happens(shop, "request_inferences")

    rows = table(str(shown["would_be_sent"]))
    assert [(row["kind"], row["challenge"]) for row in rows] == [
        ("reclaim", str(challenge)),
        ("request", str(challenge)),
    ]
    shop.shown("request_inferences")
    assert len(money.events("aivm_inference", "InferenceRequestedV2")) == 2


def test_a_dry_run_of_a_competitions_settlement_freezes_no_ranking(shop: Shop) -> None:
    challenge = a_competition(shop.money, {ANN: 9, BOB: 8}, top_n=1)
    rows = table(str(nothing_happens(shop, "settle_winners")["would_be_sent"]))
    assert [(row["kind"], row["challenge"]) for row in rows] == [("bind", str(challenge))]
    state = "select state from pipeline.ranking_states"
    assert b.rows(shop.world.database, state) == [("closed",)]
    shop.shown("settle_winners")
    assert b.rows(shop.world.database, state) == [("frozen",)]


def test_a_dry_run_of_finalize_says_whom_a_challenge_is_held_back_for(shop: Shop) -> None:
    challenge = a_challenge_that_ann_passes(shop)
    shop.money.to_deadline(challenge)
    shown = nothing_happens(shop, "finalize_challenges")
    (row,) = table(str(shown["why_held_back"]))
    assert row["challenge"] == str(challenge)
    assert row["winners missing on chain"] == ANN.address
    assert shown["would_be_sent"] == "Nothing would be sent."


def test_a_dry_run_with_nothing_to_do_says_so(shop: Shop) -> None:
    shop.money.follow()
    shown = nothing_happens(shop, "settle_winners")
    assert shown["would_be_sent"] == "Nothing would be sent."
    assert "why_they_wait" not in shown


def test_a_dry_run_says_why_a_request_waits(shop: Shop) -> None:
    challenge = a_challenge_that_ann_passes(shop)
    shop.world.resources["policy"] = Policy(max_transaction_value_wei=10**15 - 1)

    shown = nothing_happens(shop, "request_inferences")

    assert shown["transactions"] == 0
    (row,) = table(str(shown["why_they_wait"]))
    assert row["challenge"] == str(challenge)
    assert "more than the maximum of" in row["waits for"]


def test_a_dry_run_keeps_to_the_daily_limit_as_the_run_would(shop: Shop) -> None:
    first, second = (a_challenge_that_ann_passes(shop) for _ in range(2))
    shop.world.resources["policy"] = Policy(max_request_spend_per_day_wei=2 * 10**15 - 1)

    shown = nothing_happens(shop, "request_inferences")

    (sent,) = table(str(shown["would_be_sent"]))
    (waits,) = table(str(shown["why_they_wait"]))
    assert {sent["challenge"], waits["challenge"]} == {str(first), str(second)}
    assert "a day" in waits["waits for"]


def test_what_is_in_flight_is_shown_and_not_sent_again_by_a_dry_run(shop: Shop) -> None:
    money, anvil = shop.money, shop.world.anvil
    challenge = a_challenge_that_ann_passes(shop)
    money.dispatch()
    money.policy = replace(money.policy, receipt_timeout_s=0.1)
    anvil.rpc("evm_setAutomine", False)
    try:
        assert money.request().pending == [challenge]
        anvil.rpc("anvil_dropAllTransactions")
        shown = nothing_happens(shop, "request_inferences")
        pending = anvil.rpc("eth_getTransactionCount", money.requests.worker, "pending")
        latest = anvil.rpc("eth_getTransactionCount", money.requests.worker, "latest")
        assert pending == latest, "it was lost, and the dry run left it lost"
    finally:
        anvil.rpc("evm_setAutomine", True)
    (row,) = table(str(shown["why_they_wait"]))
    assert row["status"] in ("signed", "broadcast")
    assert shown["transactions"] == 0


def test_a_dry_run_neither_waits_for_a_run_in_flight_nor_takes_its_lease(shop: Shop) -> None:
    a_challenge_that_ann_passes(shop)
    with shop.world.database.begin() as connection:
        token = leases.acquire(connection, REQUEST_LEASE, "another run", 60)
    assert nothing_happens(shop, "request_inferences")["transactions"] == 1
    assert not shop.run("request_inferences").success, "a run in earnest does wait"
    with shop.world.database.begin() as connection:
        assert token is not None
        assert leases.renew(connection, REQUEST_LEASE, token, 60)


def test_a_run_in_earnest_says_so_by_saying_nothing_of_a_dry_run(shop: Shop) -> None:
    a_challenge_that_ann_passes(shop)
    result = shop.run("request_inferences")
    assert "dry_run" not in metadata(result)
    tables = result.asset_materializations_for_node("dispatch_and_request")
    assert [one.asset_key.to_user_string() for one in tables] == ["aivm_jobs", "transactions"]
    assert b.rows(shop.world.database, "select status from public.aivm_jobs") == [("submitted",)]


def test_what_would_be_sent_is_no_trouble_in_the_runs_log(
    shop: Shop, instance: DagsterInstance
) -> None:
    a_challenge_that_ann_passes(shop)
    result = shop.run("request_inferences", dry_run=True)
    assert "errors" not in metadata(result)
    assert not [one for one in instance.all_logs(result.run_id) if one.level >= 30]

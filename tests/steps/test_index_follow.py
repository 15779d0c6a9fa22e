"""The live follower: what the tables hold after the chain did something."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.rules.events import SPECS
from lightchallenge_dagster.steps import index
from lightchallenge_dagster.storage.sql import load
from tests.steps.index_world import World, open_world


@pytest.fixture
def world(database: Engine, devnet: Any) -> Iterator[World]:
    yield from open_world(database, devnet)


ETH = 10**18


def test_a_mixed_scenario_ends_in_exactly_these_rows(world: World) -> None:
    alice, bob, carol = world.funded("alice", "bob", "carol")
    client = world.client
    paid = client.create_challenge(alice, stake=2 * ETH, max_participants=5)
    client.join(bob, paid, ETH)
    client.join(bob, paid, ETH // 2)
    canceled = client.create_challenge(carol, stake=ETH)
    client.join(alice, canceled, ETH)
    client.cancel(carol, canceled)
    client.claim_refund(carol, canceled)
    client.claim_eth(carol, canceled, ETH // 4)
    client.claim_eth(carol, canceled)
    terms = client.challenge(paid)
    client.travel_to(terms.proof_deadline_ts + 1)
    client.finalize(bob, paid)

    report = world.follow()

    challenges = {row["id"]: row for row in world.rows("select * from public.challenges")}
    assert challenges.keys() == {paid, canceled}
    assert challenges[paid]["status"] == "Finalized"
    assert challenges[paid]["chain_outcome"] == 2
    assert challenges[paid]["subject"] == alice.address
    assert challenges[paid]["timeline"] == {"start": terms.start_ts, "end": terms.end_ts}
    assert challenges[paid]["funds"]["stake"] == str(2 * ETH)
    assert (challenges[canceled]["status"], challenges[canceled]["chain_outcome"]) == (
        "Canceled",
        None,
    )

    stakes = world.rows(
        "select challenge_id, subject, amount_wei from pipeline.stakes order by 1, 3, 2"
    )
    expected = [
        (paid, bob.address, ETH + ETH // 2),
        (paid, alice.address, 2 * ETH),
        *sorted([(canceled, carol.address, ETH), (canceled, alice.address, ETH)]),
    ]
    assert [(r["challenge_id"], r["subject"], int(r["amount_wei"])) for r in stakes] == expected

    participants = world.rows("select * from public.participants")
    assert {(r["challenge_id"], r["subject"], r["source"]) for r in participants} == {
        (challenge, subject, "onchain_join") for challenge, subject, _ in expected
    }
    bobs = next(r for r in participants if r["subject"] == bob.address)
    first_join = world.rows(
        "select tx_hash, block_timestamp from pipeline.chain_logs"
        " where event = 'ChallengePay.Joined' and account = :bob order by block_number limit 1",
        bob=bob.address,
    )[0]
    assert bobs["tx_hash"] == first_join["tx_hash"]
    assert bobs["joined_at"] == datetime.fromtimestamp(first_join["block_timestamp"], UTC)

    claims = {
        (r["challenge_id"], r["subject"], r["claim_type"]): r
        for r in world.rows("select * from public.claims")
    }
    assert claims.keys() == {
        (canceled, carol.address, "refund"),
        (canceled, carol.address, "treasury_eth"),
    }
    refund = claims[(canceled, carol.address, "refund")]
    pulled = claims[(canceled, carol.address, "treasury_eth")]
    assert (refund["amount_wei"], pulled["amount_wei"]) == (ETH, ETH)
    assert [int(event["amount_wei"]) for event in pulled["metadata"]["events"]] == [
        ETH // 4,
        ETH - ETH // 4,
    ]
    assert pulled["source"] == "indexer"
    assert pulled["bucket_id"] == canceled
    assert pulled["block_number"] == pulled["metadata"]["events"][-1]["block_number"]

    chain = {r["challenge_id"]: r for r in world.rows("select * from pipeline.chain_challenges")}
    assert chain[paid]["end_ts"] == terms.end_ts
    assert chain[paid]["proof_deadline_ts"] == terms.proof_deadline_ts
    assert chain[paid]["max_participants"] == 5
    assert (chain[paid]["status"], chain[paid]["outcome"]) == ("Finalized", 2)
    assert chain[canceled]["verifier"] == world.deployment.poi_verifier

    known = {(spec.role, spec.signature.partition("(")[0]) for spec in SPECS}
    role = world.policy.roles
    assert report.logs == sum((role.get(e.address), e.name) in known for e in client.events())
    assert report.undecoded == 0
    assert report.lag_blocks == 0
    assert report.rows_changed["public.claims"] == 2
    assert report.partitions == ["000000000-000099999"]
    assert world.rows("select distinct value from public.indexer_state") == [
        {"value": str(report.head)}
    ]


def test_following_again_changes_nothing(world: World) -> None:
    (alice,) = world.funded("alice")
    world.client.create_challenge(alice)
    world.follow()
    before = world.state()

    report = world.follow()

    assert (report.blocks, report.logs, report.rows_changed) == (0, 0, {})
    assert report.from_block == report.to_block + 1
    assert world.state() == before


def test_indexing_begins_at_the_start_block_whatever_indexer_state_says(world: World) -> None:
    (alice,) = world.funded("alice")
    world.run("insert into public.indexer_state values ('last_claims_block', '999999')")
    early = world.client.create_challenge(alice)
    start = world.client.node.block_number() + 1
    late = world.client.create_challenge(alice)

    report = world.follow(policy=replace(world.policy, start_block=start))

    assert report.from_block == start
    assert [row["id"] for row in world.rows("select id from public.challenges")] == [late]
    assert early not in world.snapshots
    assert {row["value"] for row in world.rows("select value from public.indexer_state")} == {
        str(report.head)
    }


def test_blocks_below_the_confirmation_depth_wait(world: World) -> None:
    (alice,) = world.funded("alice")
    careful = replace(world.policy, confirmations=3)
    world.client.create_challenge(alice)
    world.follow(policy=careful)
    assert world.rows("select 1 from public.challenges") == []
    for _ in range(3):
        world.client.node.call("evm_mine")

    report = world.follow(policy=careful)

    assert report.lag_blocks == 3
    assert len(world.rows("select 1 from public.challenges")) == 1


@pytest.mark.parametrize("from_genesis", [False, True])
@pytest.mark.parametrize("blocks_since", [5, 400])
def test_the_first_block_of_a_checkpoint_of_before_is_told_from_the_headers(
    world: World, from_genesis: bool, blocks_since: int
) -> None:
    (alice,) = world.funded("alice")
    policy = replace(world.policy, start_block=0) if from_genesis else world.policy
    world.client.create_challenge(alice)
    world.client.node.call("anvil_mine", hex(blocks_since))
    world.follow(policy=policy)
    world.run("alter table pipeline.checkpoints drop column first_block")

    world.run(load("migrations/540_checkpoints"))

    (row,) = world.rows("select first_block from pipeline.checkpoints")
    # The genesis block has no logs: whether it was read makes no difference.
    assert row["first_block"] in ((0, 1) if from_genesis else (policy.start_block,))


def test_what_was_begun_at_one_start_block_is_not_moved_by_another(world: World) -> None:
    (alice,) = world.funded("alice")
    world.client.create_challenge(alice)
    start = world.client.node.block_number() + 1
    world.client.create_challenge(alice)
    world.follow(policy=replace(world.policy, start_block=start))
    before = world.state()

    for other in (0, start + 1):
        policy = replace(world.policy, start_block=other)
        report = index.heal(world.engine, world.reader, policy, world.snapshot, 0, start + 1000)
        assert report.from_block == start
        assert world.follow(policy=policy).blocks == 0
        for projection in index.PROJECTIONS:
            assert index.rebuild(world.engine, policy, projection).rows_changed == 0
    assert world.state() == before

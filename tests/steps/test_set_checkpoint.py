"""Setting the checkpoint by hand: seeding, going back, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.rules.reorg import Point
from lightchallenge_dagster.steps import index, verify
from lightchallenge_dagster.steps.set_checkpoint import (
    CheckpointRefused,
    SetCheckpointReport,
    set_checkpoint,
)
from lightchallenge_dagster.storage import checkpoints
from lightchallenge_dagster.storage.checkpoints import CheckpointMoved
from tests.steps.index_world import World, open_world

ETH = 10**18


@pytest.fixture
def world(database: Engine, devnet: Any) -> Iterator[World]:
    yield from open_world(database, devnet)


def put(world: World, **where: Any) -> SetCheckpointReport:
    return set_checkpoint(world.engine, world.reader, world.policy, **where)


def checkpoint(world: World) -> dict[str, Any]:
    return world.rows("select * from pipeline.checkpoints")[0]


def head(world: World) -> int:
    return world.reader.head().number


def history(world: World) -> list[int]:
    """A challenge, two joins and a cancel; the blocks of each, indexed."""
    alice, bob, carol = world.funded("alice", "bob", "carol")
    client = world.client
    at: list[int] = []
    challenge = client.create_challenge(alice, max_participants=5)
    at.append(head(world))
    for wallet in (bob, carol):
        client.join(wallet, challenge, ETH)
        at.append(head(world))
    client.cancel(alice, challenge)
    at.append(head(world))
    world.follow()
    return at


def test_seeding_begins_a_look_back_below_the_confirmed_head(world: World) -> None:
    world.client.node.call("anvil_mine", hex(40))
    world.policy = replace(world.policy, confirmations=3)

    report = put(world, look_back=10)

    assert report.before is None
    assert report.block == head(world) - 13
    assert report.first_block == report.block + 1
    assert world.follow().from_block == report.first_block
    # A later START_BLOCK changes nothing: the first block is remembered.
    assert checkpoint(world)["first_block"] == report.first_block


def test_seeding_further_back_than_the_chain_is_long_begins_at_its_first_block(
    world: World,
) -> None:
    assert put(world, look_back=10**9).block == 0


def test_seeding_again_further_back_is_safe(world: World) -> None:
    world.client.node.call("anvil_mine", hex(40))
    put(world, look_back=5)
    world.follow()

    report = put(world, look_back=20)

    assert report.before == head(world)
    assert checkpoint(world)["first_block"] == report.block + 1
    assert world.follow().to_block == head(world)


def test_going_back_undoes_what_hangs_above_and_the_follower_reads_it_again(
    world: World,
) -> None:
    created, joined, _, canceled = history(world)
    verify.look(world.engine, world.reader, world.policy, behind=0)
    everything = world.state()

    report = put(world, block=joined)

    assert (report.before, report.block) == (canceled, joined)
    assert report.undone_logs >= 2
    assert report.rows_changed["pipeline.stakes"] == 1
    assert len(world.table("pipeline.stakes")) == 2
    assert world.rows("select distinct status from public.challenges") == [{"status": "Active"}]
    mirrored = world.rows("select distinct value from public.indexer_state")
    assert mirrored == [{"value": str(joined)}]
    watermarks = world.rows("select distinct block_number as n from pipeline.verified_streams")
    assert watermarks == [{"n": joined}]
    world.follow()
    assert world.state() == everything
    assert created < joined


def test_going_below_the_first_block_undoes_all_and_begins_earlier(world: World) -> None:
    created, joined, *_ = history(world)
    late = replace(world.policy, start_block=joined + 1)
    put(world, block=world.policy.start_block)
    world.follow()
    everything = world.projections()
    world.run("delete from pipeline.chain_logs")
    world.run("delete from pipeline.chain_blocks")
    world.run("delete from pipeline.checkpoints")
    for table in index.PROJECTIONS.values():
        world.run(f"delete from {table}")  # noqa: S608
    world.run("delete from pipeline.adopted_rows")
    world.follow(policy=late)
    assert checkpoint(world)["first_block"] == joined + 1
    assert world.table("pipeline.chain_challenges") == []

    report = set_checkpoint(world.engine, world.reader, late, block=created - 1)

    assert report.first_block == created
    assert checkpoint(world)["first_block"] == created
    assert world.table("pipeline.chain_logs") == []
    world.follow(policy=late)
    assert world.projections() == everything


def test_going_forward_over_unread_blocks_is_refused_with_what_would_be_lost(
    world: World,
) -> None:
    alice, bob = world.funded("alice", "bob")
    world.follow()
    before = world.state()
    challenge = world.client.create_challenge(alice)
    world.client.join(bob, challenge, ETH)

    with pytest.raises(CheckpointRefused, match="2 events of our contracts"):
        put(world, block=head(world))
    with pytest.raises(CheckpointRefused, match="Let follow_chain read them"):
        put(world, look_back=0)

    assert world.state() == before


def test_a_block_that_is_not_confirmed_is_refused(world: World) -> None:
    world.policy = replace(world.policy, confirmations=3)
    with pytest.raises(CheckpointRefused, match="not confirmed"):
        put(world, block=head(world) - 2)
    assert world.rows("select 1 from pipeline.checkpoints") == []


def test_a_block_above_an_orphaned_one_is_refused_and_a_good_one_named(world: World) -> None:
    (alice,) = world.funded("alice")
    node = world.client.node
    fork = node.call("evm_snapshot")
    base = head(world)
    world.client.create_challenge(alice)
    for _ in range(4):
        node.call("evm_mine")
    world.follow()
    node.call("evm_revert", fork)
    world.client.travel(11)
    for _ in range(8):
        node.call("evm_mine")
    before = world.state()

    with pytest.raises(CheckpointRefused, match=f"set it to block {base} or below"):
        put(world, block=base + 3)
    assert world.state() == before

    assert put(world, block=base).undone_logs == 1
    world.follow()
    assert world.table("public.challenges") == []


def test_it_starts_a_follower_again_that_a_deep_reorg_had_stopped(world: World) -> None:
    created, *_ = history(world)
    with world.engine.begin() as connection:
        checkpoints.finalize(
            connection,
            world.policy.chain_id,
            Point(checkpoint(world)["block_number"], checkpoint(world)["block_hash"]),
        )
        checkpoints.stop(connection, world.policy.chain_id, "a reorg deeper than the window")

    report = put(world, block=created)

    assert report.was_stopped == "a reorg deeper than the window"
    row = checkpoint(world)
    assert (row["stopped_reason"], row["finalized_number"]) == (None, None)


def test_setting_it_to_where_it_is_undoes_nothing(world: World) -> None:
    history(world)
    everything = world.state()

    report = put(world, block=head(world))

    assert (report.undone_logs, report.undone_headers) == (0, 0)
    assert world.state() == everything


def test_a_follower_that_was_faster_wins(world: World) -> None:
    created, *_ = history(world)
    world.client.node.call("evm_mine")

    class Racing(type(world.reader)):
        def block(self, number: int) -> Any:
            world.follow()
            return super().block(number)

    reader = Racing(world.rpc)
    before = checkpoint(world)["block_number"]
    held = index.checkpoint(world.engine, world.policy)
    # The standing is read after the header: make the race by moving it in between.
    assert held is not None

    original = checkpoints.standing

    def stale(connection: Any, chain_id: int) -> Any:
        found = original(connection, chain_id)
        return replace(found, number=before, hash=held.hash)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "standing", stale)
        with pytest.raises(CheckpointMoved):
            set_checkpoint(world.engine, reader, world.policy, block=created)
    assert checkpoint(world)["block_number"] == before + 1


@pytest.mark.parametrize("where", [{}, {"block": 1, "look_back": 1}])
def test_it_wants_either_a_block_or_a_look_back(world: World, where: dict[str, int]) -> None:
    with pytest.raises(CheckpointRefused, match="either"):
        put(world, **where)

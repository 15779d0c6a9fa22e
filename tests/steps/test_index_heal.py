"""Healing: what is missing comes in, and no node that leaves a log out takes a true one away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.chain.rpc import Rpc
from lightchallenge_dagster.steps import index
from lightchallenge_dagster.steps.index import IndexReport
from lightchallenge_dagster.steps.indexing import patience
from tests.steps.bent_node import BentNode, without
from tests.steps.index_world import World, open_world
from tests.steps.test_verify import (
    JOINED,
    checkpoint,
    consistent_liar,
    forget,
    invent,
    three_stakes,
)


@pytest.fixture
def world(database: Engine, devnet: Any) -> Iterator[World]:
    yield from open_world(database, devnet)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(patience, "sleep", waited.append)
    return waited


@pytest.fixture
def first(world: World) -> Iterator[BentNode]:
    """The node that comes first in LCAI_RPC."""
    with BentNode(world.deployment.rpc_url).serving() as node:
        yield node


@pytest.fixture
def second(world: World) -> Iterator[BentNode]:
    """Another node of the same chain, honest until told otherwise."""
    with BentNode(world.deployment.rpc_url).serving() as node:
        yield node


def heal(world: World, *nodes: BentNode) -> IndexReport:
    true, world.rpc = world.rpc, Rpc([node.url for node in nodes], retries=0)
    try:
        return world.heal(0, checkpoint(world))
    finally:
        world.rpc.close()
        world.rpc = true


def far_from_the_head(world: World) -> None:
    """Logs of blocks near the head are read by their blocks' hashes and held against blooms."""
    world.client.node.call("anvil_mine", hex(index.NEAR_HEAD))
    world.follow()


@pytest.mark.parametrize("by_hash", [False, True])
def test_one_node_that_leaves_logs_out_drops_none_of_them(
    world: World, first: BentNode, by_hash: bool
) -> None:
    three_stakes(world)
    far_from_the_head(world)
    everything = world.state()
    first.bend = without(JOINED, by_hash=by_hash)

    report = heal(world, first)

    assert world.state() == everything
    assert (report.added_logs, report.dropped_logs) == (0, 0)
    assert len(report.disputed) == (2 if by_hash else 0)


def test_one_node_that_blanks_the_blooms_as_well_drops_nothing_and_is_reported(
    world: World, first: BentNode
) -> None:
    three_stakes(world)
    far_from_the_head(world)
    everything = world.state()
    first.bend = consistent_liar

    report = heal(world, first)

    assert world.state() == everything
    assert report.dropped_logs == 0
    assert ["logs are stored" in one for one in report.disputed] == [True, True]


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_log_that_the_chain_never_had_goes(
    world: World, first: BentNode, second: BentNode, nodes: int
) -> None:
    three_stakes(world)
    far_from_the_head(world)
    everything = world.state()
    invent(world)

    report = heal(world, *[first, second][:nodes])

    assert (report.added_logs, report.dropped_logs, report.disputed) == (0, 1, [])
    assert world.state() == everything


@pytest.mark.parametrize("liar", [0, 1])
def test_with_two_nodes_both_have_to_show_that_a_log_is_wrong(
    world: World, first: BentNode, second: BentNode, liar: int
) -> None:
    three_stakes(world)
    far_from_the_head(world)
    everything = world.state()
    (first, second)[liar].bend = consistent_liar

    report = heal(world, first, second)

    assert world.state() == everything
    assert report.dropped_logs == 0


def test_a_disputed_block_is_passed_and_what_is_missing_behind_it_added(
    world: World, first: BentNode
) -> None:
    three_stakes(world)
    far_from_the_head(world)
    everything = world.state()
    world.run(
        "delete from pipeline.chain_logs where (block_number, log_index) = ("
        "select block_number, log_index from pipeline.chain_logs"
        " where event = 'ChallengePay.Joined' order by block_number desc limit 1)"
    )
    for projection in index.PROJECTIONS:
        index.rebuild(world.engine, world.policy, projection)
    lost = world.rows(
        "select block_number as n from pipeline.chain_logs where event = 'ChallengePay.Joined'"
    )[0]["n"]

    def hides_one(method: str, params: list[Any], result: Any) -> Any:
        if method != "eth_getLogs":
            return result
        return [log for log in result if int(log["blockNumber"], 16) != lost]

    first.bend = hides_one
    report = heal(world, first)

    assert (report.added_logs, report.dropped_logs) == (1, 0)
    assert len(report.disputed) == 1
    assert f"block {lost} " in report.disputed[0]
    assert world.state() == everything


def test_what_was_left_out_comes_back_with_two_nodes_that_agree(
    world: World, first: BentNode, second: BentNode
) -> None:
    three_stakes(world)
    far_from_the_head(world)
    everything = world.state()
    forget(world, "ChallengePay.ChallengeCreated")
    forget(world, "ChallengePay.Joined")

    report = heal(world, first, second)

    assert report.added_logs == 3
    assert world.state() == everything


def test_logs_of_a_contract_that_left_the_settings_stay(world: World) -> None:
    (alice,) = world.funded("alice")
    world.client.admin_mint(alice.address, world.client.create_challenge(alice), "victory")
    far_from_the_head(world)
    everything = world.state()
    assert len(everything["public.achievement_mints"]) == 1
    fewer = {k: v for k, v in world.policy.addresses.items() if k != "achievement"}
    world.policy = replace(world.policy, addresses=fewer)

    report = world.heal(0, checkpoint(world))

    assert (report.added_logs, report.dropped_logs) == (0, 0)
    assert world.state() == everything

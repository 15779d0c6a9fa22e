"""A contract that will not tell what its event does not carry: nothing is lost, nothing stops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.chain import abi
from lightchallenge_dagster.chain.contracts import Contracts
from lightchallenge_dagster.chain.rpc import Rpc, RpcUnavailable
from lightchallenge_dagster.rules.events import topic_of
from lightchallenge_dagster.steps import health, index, verify
from lightchallenge_dagster.steps.verify import VerifyReport
from tests.steps.index_world import World, open_world
from tests.steps.lying_node import LyingNode, Params, Refusal, honest
from tests.steps.test_index_rows import log_from, word

ETH = 10**18
Truth = Callable[[], Any]


@pytest.fixture
def world(database: Engine, devnet: Any) -> Iterator[World]:
    yield from open_world(database, devnet)


@pytest.fixture
def node(world: World) -> Iterator[LyingNode]:
    """Between the world and the true node, for all that contracts are asked."""
    with LyingNode(world.deployment.rpc_url).serving() as between:
        rpc = Rpc(between.url, retries=0)
        world.contracts = Contracts(rpc, world.contracts.addresses)
        yield between
        rpc.close()


def refused(function: abi.Function, argument: int) -> Callable[[str, Params, Truth], Any]:
    """A call of this function about this challenge or token is reverted."""
    begin = "0x" + function.selector.hex() + f"{argument:064x}"

    def lie(method: str, params: Params, truth: Truth) -> Any:
        if method == "eth_call" and params[0]["data"].startswith(begin):
            raise Refusal("execution reverted", 3)
        return truth()

    return lie


def problems(world: World) -> list[str]:
    return [row[-1] for row in health.violations(world.engine, "events_decoded").rows]


def read_again(world: World) -> VerifyReport:
    return verify.verify(
        world.engine,
        world.reader,
        world.policy,
        world.snapshot,
        achievement=world.contracts.achievement_of,
        behind=0,
    )


def snapshots(world: World) -> list[dict[str, Any]]:
    return world.rows("select snapshot from pipeline.chain_logs where snapshot is not null")


@pytest.mark.parametrize("function", ["getChallenge", "contribOf"])
def test_a_challenge_that_is_refused_costs_the_others_of_the_batch_nothing(
    world: World, node: LyingNode, function: str
) -> None:
    alice, bob = world.funded("alice", "bob")
    challenges = [world.client.create_challenge(alice, stake=n * ETH) for n in (1, 2, 3)]
    world.client.join(bob, challenges[1], ETH)
    world.follow()
    everything = world.state()
    world.run("truncate pipeline.chain_blocks, pipeline.chain_logs, pipeline.checkpoints")
    for projection in index.PROJECTIONS:
        world.run(f"delete from {index.PROJECTIONS[projection]}")  # noqa: S608
    world.run("delete from pipeline.adopted_rows")
    node.lie = refused(abi.challengepay(function), challenges[1])

    assert world.follow().lag_blocks == 0

    (problem,) = problems(world)
    assert problem.startswith(f"its challenge was not read: {function} of 0x")
    assert len(snapshots(world)) == 2
    ids = {row["challenge_id"] for row in world.table("pipeline.chain_challenges")}
    assert ids == {challenges[0], challenges[2]}
    # Refused for good: the reading again goes on all the same.
    assert read_again(world).told_logs == 0
    assert len(problems(world)) == 1
    # The contract tells after all: everything is as if it always had.
    node.lie = honest
    report = read_again(world)
    assert (report.told_logs, report.rows_changed["pipeline.chain_challenges"]) == (1, 1)
    assert world.state() == everything
    assert read_again(world).told_logs == 0


def test_a_token_that_is_refused_is_asked_for_again(world: World, node: LyingNode) -> None:
    alice, bob = world.funded("alice", "bob")
    challenge = world.client.create_challenge(alice)
    token = world.client.admin_mint(bob.address, challenge, "victory")
    # A contract of another version, which says the mint without its type.
    minted = topic_of("ChallengeAchievement.AdminMinted")
    topics = [minted, word(token), word(int(bob.address, 16)), word(challenge)]
    lone = log_from(world.client, topics)
    world.client.node.transact(alice, lone, "0x")
    world.policy = replace(world.policy, addresses=dict(world.policy.addresses, achievement=lone))
    node.lie = refused(abi.achievement("achievementOf"), token)

    assert world.follow().lag_blocks == 0

    (problem,) = problems(world)
    assert problem.startswith("its type was not read: achievementOf of 0x")
    assert world.table("public.achievement_mints") == []
    assert read_again(world).told_logs == 0
    node.lie = honest
    assert read_again(world).told_logs == 1
    assert problems(world) == []
    (row,) = world.table("public.achievement_mints")
    assert (row["token_id"], row["achievement_type"]) == (token, "victory")


@pytest.mark.parametrize("answer", ["0x", "0x01"])
def test_a_contract_of_another_version_stops_nothing(
    world: World, node: LyingNode, answer: str
) -> None:
    (alice,) = world.funded("alice")
    world.client.create_challenge(alice)
    node.lie = lambda method, params, truth: answer if method == "eth_call" else truth()

    assert world.follow().lag_blocks == 0

    (problem,) = problems(world)
    assert problem.startswith("its challenge was not read: ")
    assert world.table("pipeline.chain_challenges") == []


def test_a_node_that_has_thrown_the_state_away_is_no_contract_that_refuses(
    world: World, node: LyingNode
) -> None:
    (alice,) = world.funded("alice")
    world.client.create_challenge(alice)

    def pruned(method: str, params: Params, truth: Truth) -> Any:
        if method == "eth_call":
            raise Refusal("missing trie node 8a2c (path ) state 0x8a2c is not available")
        return truth()

    node.lie = pruned
    with pytest.raises(RpcUnavailable, match="does not keep that state"):
        world.follow()
    assert world.table("pipeline.chain_logs") == []
    node.lie = honest
    world.follow()
    assert problems(world) == []

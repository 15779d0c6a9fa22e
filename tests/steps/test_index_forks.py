"""Nodes that stand still, follow another chain, or have lost the past: none is followed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.chain.contracts import CallReverted
from lightchallenge_dagster.chain.reader import ChainMoved, ChainReader
from lightchallenge_dagster.chain.revert import Revert
from lightchallenge_dagster.chain.rpc import Rpc
from lightchallenge_dagster.devnet.client import Client
from lightchallenge_dagster.devnet.deploy import deploy
from lightchallenge_dagster.devnet.processes import Anvil
from lightchallenge_dagster.devnet.wallets import user
from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.resources.chain import ChainResource
from lightchallenge_dagster.rules.events import RawLog, topic_of
from lightchallenge_dagster.rules.reorg import Point
from lightchallenge_dagster.steps import index, verify
from lightchallenge_dagster.steps.index import CheckpointMoved, ReorgTooDeep
from lightchallenge_dagster.steps.indexing import patience, standing
from lightchallenge_dagster.steps.indexing.describe import describe
from lightchallenge_dagster.steps.set_checkpoint import set_checkpoint
from tests.steps.index_world import World, open_world
from tests.steps.lying_node import LyingNode, Params, Refusal

Truth = Callable[[], Any]

ANEW = 900
"""Blocks mined on the old chain: so many that empty headers below them are not kept."""


@pytest.fixture
def world(database: Engine, devnet: Any) -> Iterator[World]:
    yield from open_world(database, devnet)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(patience, "sleep", waited.append)
    return waited


@pytest.fixture
def node(world: World) -> Iterator[LyingNode]:
    """An endpoint that comes before the true one in ``world.rpc``."""
    with LyingNode(world.deployment.rpc_url).serving() as lying:
        honest_rpc, world.rpc = world.rpc, Rpc([lying.url, world.deployment.rpc_url])
        yield lying
        world.rpc.close()
        world.rpc = honest_rpc


def checkpoint(world: World) -> int:
    held = index.checkpoint(world.engine, world.policy)
    assert held is not None
    return held.number


def mine(world: World, blocks: int) -> None:
    world.client.node.call("anvil_mine", hex(blocks))


# ── A node that stands still ──


def frozen(at: int) -> Callable[[str, Params, Truth], Any]:
    """The node has stopped at a block and goes on answering."""

    def lie(method: str, params: Params, truth: Truth) -> Any:
        if method == "eth_getBlockByNumber":
            tag = str(params[0])
            if tag == "latest":
                params[:1] = [hex(at)]
            elif tag.startswith("0x") and int(tag, 16) > at:
                return None
        if method == "eth_getLogs":
            query: dict[str, str] = params[0]
            if int(query.get("fromBlock", "0x0"), 16) > at:
                return []
        return truth()

    return lie


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch, world: World) -> Callable[[int], None]:
    """Sets the machine's clock so many seconds after the chain's newest block."""

    def set_clock(seconds: int) -> None:
        now = world.client.now() + seconds
        monkeypatch.setattr(standing, "now", lambda: float(now))

    return set_clock


@pytest.mark.parametrize("behind_us", [False, True])
@pytest.mark.parametrize("sees", ["look", "follow"])
def test_a_node_that_stands_still_is_left_for_one_that_does_not(
    world: World, node: LyingNode, later: Callable[[int], None], sees: str, behind_us: bool
) -> None:
    (alice,) = world.funded("alice")
    world.follow()
    node.lie = frozen(checkpoint(world) - (1 if behind_us else 0))
    world.client.travel(standing.STANDS_STILL_S + 10)
    world.client.create_challenge(alice)
    later(5)

    if sees == "look":
        assert world.look().waiting
    report = world.follow()

    assert (report.logs, report.lag_blocks) == (1, 0)
    assert world.rpc.endpoints[0].counts["behind"] == 1
    assert "stands still" in str(world.rpc.endpoints[0].last_error)


def test_while_the_newest_block_is_young_nobody_else_is_asked(
    world: World, node: LyingNode, later: Callable[[int], None]
) -> None:
    world.follow()
    world.rpc = Rpc([world.deployment.rpc_url, node.url])
    later(standing.STANDS_STILL_S - 1)
    before = node.requests

    assert not world.look().waiting
    assert node.requests == before


@pytest.mark.parametrize("answers", [True, False])
def test_a_chain_that_makes_no_blocks_is_waited_for_whatever_the_other_endpoint_does(
    world: World, node: LyingNode, later: Callable[[int], None], answers: bool
) -> None:
    world.follow()
    other = node.url if answers else "http://127.0.0.1:9"
    world.rpc = Rpc([world.deployment.rpc_url, other], sleep=lambda _: None)
    later(3600)

    outlook = world.look()

    assert (outlook.waiting, outlook.reason) == (False, "no new confirmed block")
    assert world.rpc.endpoints[0].counts["behind"] == 0
    # The one that does not answer rests now, and costs the next look nothing.
    calls = world.rpc.endpoints[1].counts["calls"]
    world.look()
    assert world.rpc.endpoints[1].counts["calls"] == (calls + 1 if answers else calls)


# ── A chain that began anew ──


@pytest.fixture
def anew(world: World, fresh_anvil: Callable[..., Anvil]) -> Client:
    """Another chain of the same id with the same contracts, on which other things happen.

    The old one is indexed, and long; its last challenge lies so far back that most headers
    between it and the checkpoint are not kept.
    """
    alice, *_ = world.funded("alice")
    world.client.create_challenge(alice)
    # Before the blocks: anvil forgets what contracts held so far back, now and then.
    world.follow()
    mine(world, ANEW)
    world.follow()
    other = Client(deploy(fresh_anvil().url))
    assert other.deployment.challengepay == world.deployment.challengepay
    other.fund(user("alice"), user("bob"))
    other.node.call("anvil_mine", hex(checkpoint(world) - ANEW // 2 - other.node.block_number()))
    other.join(user("bob"), other.create_challenge(user("alice")))
    return other


@pytest.mark.parametrize("sees", ["look", "follow"])
def test_a_chain_that_began_anew_stops_the_indexer_while_it_is_shorter_than_the_old_one(
    world: World, anew: Client, sees: str
) -> None:
    assert anew.node.block_number() < checkpoint(world) - world.policy.window
    before = world.projections()
    world.rpc = Rpc(anew.deployment.rpc_url)

    with pytest.raises(ReorgTooDeep, match="Nothing was undone"):
        getattr(world, sees)()

    (noted,) = world.rows("select stopped_reason from pipeline.checkpoints")
    assert "Nothing was undone" in noted["stopped_reason"]
    assert world.projections() == before


@pytest.mark.parametrize("blocks_at_once", [100, 2000])
@pytest.mark.parametrize("endpoints", [1, 2])
@pytest.mark.parametrize("reads", ["heal", "verify"])
def test_what_happened_on_a_chain_that_began_anew_is_not_added_to_the_old_one(
    world: World, anew: Client, reads: str, endpoints: int, blocks_at_once: int
) -> None:
    anew.node.call("anvil_mine", hex(ANEW))
    assert anew.node.block_number() > checkpoint(world)
    before = world.state()
    with LyingNode(anew.deployment.rpc_url).serving() as alike:
        urls = [anew.deployment.rpc_url, alike.url][:endpoints]
        world.rpc = Rpc(urls, max_block_range=blocks_at_once)
        world.policy = replace(world.policy, max_block_range=blocks_at_once)
        with pytest.raises((ChainMoved, CheckpointMoved)):
            if reads == "heal":
                world.heal(0, checkpoint(world))
            else:
                verify.verify(world.engine, world.reader, world.policy, world.snapshot, behind=0)
        world.rpc.close()

    assert world.state() == before


# ── What is read beside a log ──


def lagging(method: str, params: Params, truth: Truth) -> Any:
    """The node lacks the block that the reader has from another one."""
    if method == "eth_call":
        raise Refusal("header for hash not found")
    return truth()


def test_a_contract_that_one_endpoint_cannot_show_yet_is_read_from_the_other(
    world: World, node: LyingNode
) -> None:
    (alice,) = world.funded("alice")
    world.client.create_challenge(alice)
    node.lie = lagging
    there = world.deployment
    chain = ChainResource(
        rpc_url=f"{node.url},{there.rpc_url}",
        challengepay=there.challengepay,
        treasury=there.treasury,
        aivm_inference=there.aivm_inference,
        task_registry=there.task_registry,
        start_block=there.start_block,
        confirmation_blocks=0,
    )
    reader = chain.reader()
    contracts = chain.contracts(reader.rpc)

    report = index.follow(world.engine, reader, chain.index_policy(), contracts.challenge_snapshot)

    assert report.lag_blocks == 0
    assert [row["subject"] for row in world.rows("select subject from public.challenges")] == [
        alice.address
    ]


def test_a_token_whose_type_the_contract_refuses_to_tell_stops_nothing(world: World) -> None:
    """Burnt in the block of its mint, or of a contract of another version."""
    tokens = (7, 8, 9)
    word = "0x" + "ab".rjust(64, "0")
    mints = [
        RawLog(
            block_number=5,
            block_hash="0x" + "5" * 64,
            tx_hash=f"0x{token:064x}",
            tx_index=token,
            log_index=token,
            address=world.deployment.achievement,
            topics=(topic_of("ChallengeAchievement.AdminMinted"), f"0x{token:064x}", word, word),
            data="0x",
        )
        for token in tokens
    ]

    def achievement(asked: Sequence[tuple[int, Point]]) -> list[tuple[int, str, int, int]]:
        if any(token == 8 for token, _ in asked):
            raise CallReverted("achievementOf", Revert("ERC721NonexistentToken", "permanent"))
        return [(171, "0x" + "00" * 19 + "ab", 1, 1_700_000_000) for _ in asked]

    described = describe(world.policy, mints, {5: 1_700_000_000}, world.snapshot, achievement)

    assert [one.snapshot and one.snapshot["a_type"] for one in described] == ["1", None, "1"]
    assert [one.event.problem for one in described] == [
        None,
        "its type was not read: achievementOf was refused: ERC721NonexistentToken",
        None,
    ]


# ── A database of another chain ──


def test_a_second_chain_is_not_begun_in_the_database_of_the_first(world: World) -> None:
    """Challenges and claims say of which wallet they are, and not of which chain."""
    (alice,) = world.funded("alice")
    world.client.create_challenge(alice)
    world.follow()
    before = world.state()

    class Elsewhere(ChainReader):
        def chain_id(self) -> int:
            return 9

    other = replace(world.policy, chain_id=9)
    with pytest.raises(PermanentError, match="holds chain 504, LCAI_CHAIN_ID says 9"):
        index.follow(world.engine, Elsewhere(world.rpc), other, world.snapshot)
    with pytest.raises(PermanentError, match="holds chain 504"):
        set_checkpoint(world.engine, Elsewhere(world.rpc), other, look_back=1)

    assert world.state() == before

"""A chain that changes its mind: everything that hung on the old blocks goes or comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.chain.rpc import Rpc
from lightchallenge_dagster.devnet.deploy import deploy
from lightchallenge_dagster.devnet.network import Network
from lightchallenge_dagster.devnet.processes import Anvil
from lightchallenge_dagster.rules.reorg import Point
from lightchallenge_dagster.steps import index
from lightchallenge_dagster.steps.index import ReorgPastFinality, ReorgTooDeep
from lightchallenge_dagster.steps.indexing.write import commit
from lightchallenge_dagster.storage import checkpoints
from tests.steps.index_world import World, open_world
from tests.steps.lying_node import Lie, LyingNode, Params, Refusal, bent

ETH = 10**18


@pytest.fixture
def world(database: Engine, devnet: Any) -> Iterator[World]:
    yield from open_world(database, devnet)


def fork(world: World) -> Callable[[], None]:
    """Remember this block; calling the result takes the chain back to it, to go another way."""
    snapshot = world.client.node.call("evm_snapshot")
    time = world.client.now()

    def back() -> None:
        world.client.node.call("evm_revert", snapshot)
        # A different time makes different blocks.
        world.client.travel_to(time + 7)

    return back


def without_stop(world: World) -> dict[str, list[dict[str, Any]]]:
    state = world.state()
    for row in state["pipeline.checkpoints"]:
        row |= {"stopped_reason": None, "stopped_at": None}
    return state


def mine_past_checkpoint(world: World) -> None:
    held = index.checkpoint(world.engine, world.policy)
    while held is not None and world.client.node.block_number() <= held.number:
        world.client.node.call("evm_mine")


def test_orphaned_rows_vanish_and_statuses_return(world: World) -> None:
    alice, bob = world.funded("alice", "bob")
    client = world.client
    challenge = client.create_challenge(alice)
    world.follow()
    before = world.projections()
    back = fork(world)
    client.join(bob, challenge, 3 * ETH)
    client.cancel(alice, challenge)
    client.claim_refund(bob, challenge)
    client.claim_eth(bob, challenge)
    other = client.create_challenge(bob)
    world.follow()
    assert world.rows("select status from public.challenges where id = :id", id=challenge) == [
        {"status": "Canceled"}
    ]

    back()
    mine_past_checkpoint(world)
    report = world.follow()

    assert report.reorg_depth > 0
    assert report.undone_logs == 5
    assert world.projections() == before
    assert world.rows("select 1 from public.challenges where id = :id", id=other) == []
    assert world.rows("select 1 from pipeline.adopted_rows where table_name = 'claims'") == []


def test_what_moved_to_another_block_is_replayed_there(world: World) -> None:
    alice, bob = world.funded("alice", "bob")
    client = world.client
    challenge = client.create_challenge(alice)
    back = fork(world)
    client.join(bob, challenge, ETH)
    world.follow()
    old = world.table("public.participants")

    back()
    client.join(bob, challenge, 2 * ETH)
    mine_past_checkpoint(world)
    world.follow()

    new = world.table("public.participants")
    assert len(old) == len(new) == 2
    assert new != old
    stake = world.rows("select amount_wei from pipeline.stakes where subject = :s", s=bob.address)
    assert stake == [{"amount_wei": 2 * ETH}]


def test_a_row_of_evidence_intake_returns_when_the_join_is_orphaned(world: World) -> None:
    alice, bob, carol = world.funded("alice", "bob", "carol")
    client = world.client
    challenge = client.create_challenge(alice)
    for wallet in (bob, carol):
        world.run(
            "insert into public.participants (challenge_id, subject, source)"
            " values (:c, :s, 'evidence_intake')",
            c=challenge,
            s=wallet.address.upper().replace("0X", "0x"),
        )
    world.follow()
    before = world.table("public.participants")
    back = fork(world)
    client.join(bob, challenge)
    world.follow()
    joined = world.rows(
        "select source, tx_hash, joined_at from public.participants where lower(subject) = :s",
        s=bob.address,
    )
    assert [row["source"] for row in joined] == ["onchain_join"]
    assert joined[0]["tx_hash"] and joined[0]["joined_at"]

    back()
    mine_past_checkpoint(world)
    world.follow()

    assert world.table("public.participants") == before


def test_evidence_that_came_while_the_join_stood_keeps_its_wallet_a_participant(
    world: World,
) -> None:
    alice, bob = world.funded("alice", "bob")
    challenge = world.client.create_challenge(alice)
    back = fork(world)
    world.client.join(bob, challenge)
    world.follow()
    world.run(
        "insert into public.evidence (challenge_id, subject, provider, data, evidence_hash)"
        " values (:c, :s, 'apple', '[]', '0x00')",
        c=challenge,
        s=bob.address,
    )

    back()
    mine_past_checkpoint(world)
    world.follow()

    assert world.rows(
        "select source, tx_hash, joined_at from public.participants where subject = :s",
        s=bob.address,
    ) == [{"source": "evidence_intake", "tx_hash": None, "joined_at": None}]


def test_a_challenge_with_words_of_the_web_app_is_not_deleted_with_its_creation(
    world: World,
) -> None:
    (alice,) = world.funded("alice")
    back = fork(world)
    challenge = world.client.create_challenge(alice)
    world.follow()
    world.run("update public.challenges set title = 'Ten miles' where id = :id", id=challenge)

    back()
    mine_past_checkpoint(world)
    world.follow()

    assert world.rows("select title, status, tx_hash from public.challenges") == [
        {"title": "Ten miles", "status": "pending", "tx_hash": None}
    ]
    assert world.client.create_challenge(alice) == challenge
    world.follow()
    assert world.rows("select title, status from public.challenges") == [
        {"title": "Ten miles", "status": "Active"}
    ]


def test_a_finalization_in_an_orphaned_block_gives_the_adopted_row_its_status_back(
    world: World,
) -> None:
    (alice,) = world.funded("alice")
    client = world.client
    challenge = client.create_challenge(alice)
    created = world.client.node.block_number()
    late = replace(world.policy, start_block=created + 1)
    client.node.call("evm_mine")
    world.run(
        "insert into public.challenges (id, title, status, tx_hash)"
        " values (:id, 'Old one', 'approved', '0xaa')",
        id=challenge,
    )
    world.follow(policy=late)
    back = fork(world)
    client.travel_to(client.challenge(challenge).proof_deadline_ts)
    client.finalize(alice, challenge)
    world.follow(policy=late)
    assert world.rows("select status, chain_outcome from public.challenges") == [
        {"status": "Finalized", "chain_outcome": 2}
    ]

    back()
    mine_past_checkpoint(world)
    world.follow(policy=late)

    assert world.rows("select title, status, chain_outcome, tx_hash from public.challenges") == [
        {"title": "Old one", "status": "approved", "chain_outcome": None, "tx_hash": "0xaa"}
    ]


def test_job_states_step_back_with_the_blocks_they_came_from(world: World) -> None:
    (alice,) = world.funded("alice")
    client = world.client
    network = Network.of(world.deployment)
    challenge = client.create_challenge(alice)
    request = client.request_inference(world.deployment.worker, challenge, alice.address)
    world.run(
        "insert into public.aivm_jobs (challenge_id, status, attempts, task_id)"
        " values (:c, 'submitted', 1, :t)",
        c=challenge,
        t=client.request(request).task_id,
    )
    network.step()  # the bond
    back = fork(world)
    network.step()
    world.follow()
    assert world.rows("select status from public.aivm_jobs") == [{"status": "committed"}]

    back()
    mine_past_checkpoint(world)
    world.follow()

    assert world.rows("select status, last_error from public.aivm_jobs") == [
        {"status": "submitted", "last_error": "a reorg took this job back from committed"}
    ]
    assert world.rows("select status, worker from pipeline.inference_requests") == [
        {"status": "requested", "worker": None}
    ]


def test_a_reorg_deeper_than_the_window_stops_the_indexer_and_changes_nothing(
    world: World,
) -> None:
    (alice,) = world.funded("alice")
    shallow = replace(world.policy, window=4)
    back = fork(world)
    world.client.create_challenge(alice)
    for _ in range(6):
        world.client.node.call("evm_mine")
    world.follow(policy=shallow)
    before = world.state()

    back()
    for _ in range(10):
        world.client.node.call("evm_mine")

    with pytest.raises(ReorgTooDeep, match="Nothing was undone"):
        world.look(shallow)
    with pytest.raises(ReorgTooDeep):
        world.follow(policy=shallow)
    assert without_stop(world) == before
    (noted,) = world.rows("select stopped_reason, stopped_at from pipeline.checkpoints")
    assert "Nothing was undone" in noted["stopped_reason"]
    assert noted["stopped_at"] is not None


# ── Finality ──


def finality(number: Callable[[], int | None]) -> Lie:
    """The chain calls the block of this number final; None: it knows no such thing."""

    def lie(method: str, params: Params, truth: Callable[[], Any]) -> Any:
        if params[:1] != ["finalized"]:
            return truth()
        at = number()
        if at is None:
            raise Refusal("finalized block not found", -39001)
        params[0] = hex(at)
        return truth()

    return lie


@pytest.fixture
def node(world: World) -> Iterator[LyingNode]:
    with LyingNode(world.deployment.rpc_url).serving() as lying:
        honest_rpc, world.rpc = world.rpc, Rpc(lying.url)
        yield lying
        world.rpc.close()
        world.rpc = honest_rpc


def watermark(world: World) -> tuple[int, str] | None:
    (row,) = world.rows(
        "select finalized_number as n, finalized_hash as h from pipeline.checkpoints"
    )
    return None if row["n"] is None else (row["n"], row["h"])


def test_the_watermark_of_final_blocks_rises_with_the_tag_as_far_as_blocks_are_indexed(
    world: World, node: LyingNode
) -> None:
    client = world.client
    careful = replace(world.policy, confirmations=5)
    client.node.call("anvil_mine", hex(30))
    head = client.node.block_number()
    final: list[int | None] = [None]
    node.lie = finality(lambda: final[0])
    world.follow(policy=careful)
    assert watermark(world) is None

    for tag, expected in (
        (head - 20, head - 20),
        (head - 25, head - 20),  # never back
        (head, None),  # as far as is indexed
    ):
        final[0] = tag
        client.node.call("evm_mine")
        (world.look if tag == head else world.follow)(policy=careful)
        held = index.checkpoint(world.engine, careful)
        assert held is not None
        number = held.number if expected is None else expected
        assert watermark(world) == (number, world.reader.block(number).hash)


@pytest.mark.parametrize("sees", ["look", "follow"])
def test_a_reorg_below_a_final_block_stops_the_indexer_and_changes_nothing(
    world: World, node: LyingNode, sees: str
) -> None:
    (alice,) = world.funded("alice")
    client = world.client
    back = fork(world)
    parted = client.node.block_number()
    client.create_challenge(alice)
    client.node.call("anvil_mine", hex(6))
    node.lie = finality(lambda: parted + 3)
    world.follow()
    before = world.state()

    back()
    mine_past_checkpoint(world)
    with pytest.raises(ReorgPastFinality, match=f"below block {parted + 3}"):
        getattr(world, sees)()

    assert without_stop(world) == before
    (noted,) = world.rows("select stopped_reason from pipeline.checkpoints")
    assert "Nothing was undone" in noted["stopped_reason"]
    with world.engine.connect() as connection:
        held = checkpoints.standing(connection, world.policy.chain_id)
    assert held is not None
    ancestor = Point(parted, world.reader.block(parted).hash)
    with pytest.raises(ReorgPastFinality):
        commit(world.engine, world.policy, held.point, ancestor, None, [])
    assert without_stop(world) == before


def test_a_reorg_above_the_final_block_is_followed(world: World, node: LyingNode) -> None:
    (alice,) = world.funded("alice")
    back = fork(world)
    parted = world.client.node.block_number()
    world.client.create_challenge(alice)
    node.lie = finality(lambda: parted)
    world.follow()

    back()
    mine_past_checkpoint(world)

    assert world.follow().reorg_depth > 0
    assert watermark(world) == (parted, world.reader.block(parted).hash)


def test_the_tag_of_one_endpoint_makes_no_block_final_that_another_one_served(
    world: World, node: LyingNode
) -> None:
    world.client.node.call("evm_mine")
    no_logs = bent("eth_getLogs", lambda logs: None)

    def lie(method: str, params: Params, truth: Callable[[], Any]) -> Any:
        if params[:1] == ["finalized"]:
            params[0] = "latest"
        return no_logs(method, params, truth)

    node.lie = lie
    world.rpc = Rpc([node.url, world.deployment.rpc_url])

    assert world.follow().lag_blocks == 0

    head = world.client.node.block_number()
    final = watermark(world)
    assert final is None or final[0] < head


def test_what_stopped_the_indexer_is_forgotten_once_the_chain_agrees_again(world: World) -> None:
    world.follow()
    stop = "update pipeline.checkpoints set stopped_reason = 'once', stopped_at = now()"
    for goes_on in (world.look, world.follow):
        world.run(stop)
        goes_on()
        assert world.rows("select stopped_reason, stopped_at from pipeline.checkpoints") == [
            {"stopped_reason": None, "stopped_at": None}
        ]
    world.run(stop)
    world.client.node.call("evm_mine")
    world.look()
    assert world.rows("select stopped_reason from pipeline.checkpoints") == [
        {"stopped_reason": None}
    ]


def test_an_endpoint_on_a_fork_below_final_blocks_stops_nothing_while_another_agrees(
    world: World, node: LyingNode
) -> None:
    (alice,) = world.funded("alice")
    node.lie = finality(world.client.node.block_number)
    world.client.create_challenge(alice)
    world.follow()
    world.client.node.call("evm_mine")

    def forked(method: str, params: Params, truth: Callable[[], Any]) -> Any:
        block = truth()
        if method == "eth_getBlockByNumber" and block:
            return block | {"hash": "0x" + block["hash"][:1:-1]}
        return block

    node.lie = forked
    world.rpc = Rpc([node.url, world.deployment.rpc_url])
    assert not world.look().waiting
    assert world.rows("select stopped_reason from pipeline.checkpoints") == [
        {"stopped_reason": None}
    ]
    assert world.follow().lag_blocks == 0


def test_a_node_behind_the_checkpoint_is_not_a_reorg(world: World) -> None:
    (alice,) = world.funded("alice")
    snapshot = world.client.node.call("evm_snapshot")
    world.client.create_challenge(alice)
    world.follow()
    before = world.state()

    world.client.node.call("evm_revert", snapshot)

    outlook = world.look()
    assert outlook.node_behind
    assert not outlook.waiting
    assert world.follow().blocks == 0
    assert world.state() == before


@pytest.mark.parametrize("depth", [1, 5, 20])
def test_a_reorg_by_the_node_itself_is_followed(
    database: Engine, fresh_anvil: Callable[..., Anvil], depth: int
) -> None:
    node = fresh_anvil("--slots-in-an-epoch", "64")
    for world in open_world(database, deploy(node.url)):
        alice, bob = world.funded("alice", "bob")
        challenge = world.client.create_challenge(alice)
        node.mine(3)
        world.client.join(bob, challenge)
        node.mine(10)
        world.follow()
        joined = node.block_number() - 10

        node.rpc("anvil_reorg", depth, [])
        node.mine(1)
        report = world.follow()

        assert report.reorg_depth == depth
        survives = node.block_number() - 1 - depth >= joined
        stakes = world.rows("select 1 from pipeline.stakes where subject = :s", s=bob.address)
        assert bool(stakes) == survives
        head = world.reader.head()
        held = index.checkpoint(world.engine, world.policy)
        assert held is not None
        assert (held.number, held.hash) == (head.number, head.hash)

"""What the indexer does when nodes lie, writers race and processes die: nothing by halves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, event

from lightchallenge_dagster.chain.reader import BadAnswer, ChainReader, Latest, NotThereYet
from lightchallenge_dagster.chain.rpc import Rpc, RpcError, RpcUnavailable
from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.rules.events import topic_of
from lightchallenge_dagster.rules.reorg import Point
from lightchallenge_dagster.steps import index
from lightchallenge_dagster.steps.index import CheckpointMoved, IndexPolicy
from lightchallenge_dagster.steps.indexing import patience
from tests.steps.index_world import World, open_world
from tests.steps.lying_node import LyingNode, Params, Refusal, bent, honest

ETH = 10**18


@pytest.fixture
def world(database: Engine, devnet: Any) -> Iterator[World]:
    yield from open_world(database, devnet)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited between two questions; nobody really waits here."""
    waited: list[float] = []
    monkeypatch.setattr(patience, "sleep", waited.append)
    return waited


@pytest.fixture
def node(world: World) -> Iterator[LyingNode]:
    """The node that ``world`` reads from; honest until told otherwise."""
    with LyingNode(world.deployment.rpc_url).serving() as lying:
        honest_rpc, world.rpc = world.rpc, Rpc(lying.url)
        yield lying
        world.rpc.close()
        world.rpc = honest_rpc


def test_a_failed_get_logs_never_advances_the_checkpoint(world: World, node: LyingNode) -> None:
    (alice,) = world.funded("alice")
    world.follow()
    world.client.create_challenge(alice)
    before = world.state()

    def fail(answer: Any) -> Any:
        raise Refusal("internal error")

    node.lie = bent("eth_getLogs", fail)
    with pytest.raises(RpcError, match="internal error"):
        world.follow()
    with pytest.raises(RpcError, match="internal error"):
        world.look()

    assert world.state() == before


LIES: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "nothing": lambda logs: [],
    "not a list": lambda logs: None,
    "half of them": lambda logs: logs[: len(logs) // 2],
    "twice the same": lambda logs: [*logs, *logs[-1:]],
    "removed": lambda logs: [log | {"removed": True} for log in logs],
    "of another block": lambda logs: [log | {"blockHash": "0x" + "ab" * 32} for log in logs],
    "outside the range": lambda logs: [log | {"blockNumber": "0xffffff"} for log in logs],
    "somebody else's": lambda logs: [log | {"address": "0x" + "ab" * 20} for log in logs],
    "half a hash": lambda logs: [log | {"transactionHash": "0xabcd"} for log in logs],
    "of no block": lambda logs: [log | {"blockHash": None, "blockNumber": None} for log in logs],
    "against the order of transactions": lambda logs: [
        log | {"transactionIndex": hex(9 - at), "logIndex": hex(at)} for at, log in enumerate(logs)
    ],
    "of another event": lambda logs: [
        log | {"topics": [topic_of("ChallengePay.Canceled"), *log["topics"][1:]]} for log in logs
    ],
}


@pytest.mark.parametrize("blocks_since", [0, 80])
@pytest.mark.parametrize("name", LIES)
def test_logs_that_cannot_be_true_are_an_error_and_advance_nothing(
    world: World, node: LyingNode, name: str, blocks_since: int
) -> None:
    alice, bob, carol = world.funded("alice", "bob", "carol")
    world.follow()
    world.join_together(world.client.create_challenge(alice), bob, carol)
    if blocks_since:
        world.client.node.call("anvil_mine", hex(blocks_since))
    before = world.state()
    node.lie = bent("eth_getLogs", LIES[name])

    with pytest.raises(BadAnswer):
        world.follow()
    with pytest.raises(BadAnswer):
        world.look()

    assert world.state() == before
    node.lie = honest
    assert world.follow().logs == 3


@pytest.mark.parametrize("blocks_since", [0, 80])
@pytest.mark.parametrize("name", ["nothing", "twice the same", "somebody else's"])
def test_a_lie_costs_a_second_question_of_the_next_endpoint_in_the_same_run(
    world: World, node: LyingNode, name: str, blocks_since: int
) -> None:
    alice, bob, carol = world.funded("alice", "bob", "carol")
    world.follow()
    expected_first = world.client.node.block_number() + 1
    world.join_together(world.client.create_challenge(alice), bob, carol)
    if blocks_since:
        world.client.node.call("anvil_mine", hex(blocks_since))
    node.lie = bent("eth_getLogs", LIES[name])
    world.rpc = Rpc([node.url, world.deployment.rpc_url])

    report = world.follow()

    assert (report.from_block, report.logs, report.lag_blocks) == (expected_first, 3, 0)
    liar, honest_one = world.rpc.endpoints
    assert report.endpoint_errors.keys() == {liar.label}
    assert sum(report.endpoint_errors[liar.label].values()) >= 1
    assert world.rpc.endpoint is honest_one
    world.rpc.close()


def test_a_bloom_that_speaks_of_other_logs_does_not_stop_the_indexer(world: World) -> None:
    (alice,) = world.funded("alice")
    world.follow()
    world.client.create_challenge(alice)
    challengepay = world.deployment.challengepay
    # Only the treasury is ours here: the block's bloom names it, for a log nobody asked for.
    only = replace(
        world.policy,
        addresses={"treasury": world.deployment.treasury, "legacy_challengepay_1": challengepay},
    )

    report = world.follow(policy=only)

    assert report.lag_blocks == 0
    assert report.logs == 0


def test_a_node_that_does_not_have_the_end_of_the_range_is_recognised(world: World) -> None:
    (alice,) = world.funded("alice")
    world.follow()
    world.client.create_challenge(alice)
    before = world.state()

    class Ahead(ChainReader):
        def latest(self, numbers: Sequence[int]) -> Latest:
            found = super().latest(numbers)
            return replace(found, head=replace(found.head, number=found.head.number + 5))

    with pytest.raises(NotThereYet, match="does not have block"):
        index.follow(world.engine, Ahead(world.rpc), world.policy, world.snapshot)
    assert world.state() == before


def test_a_snapshot_of_nothing_is_refused(world: World) -> None:
    (alice,) = world.funded("alice")
    world.client.create_challenge(alice)

    def zeros(asked: Sequence[tuple[int, str, Point]]) -> list[dict[str, Any]]:
        return world.contracts.challenge_snapshot([(0, who, block) for _, who, block in asked])

    with pytest.raises(BadAnswer, match="answered for challenge 0"):
        index.follow(world.engine, world.reader, world.policy, zeros)
    assert world.rows("select 1 from pipeline.chain_logs") == []


def test_ranges_are_halved_until_the_node_serves_them(world: World, node: LyingNode) -> None:
    (alice,) = world.funded("alice")
    world.client.node.call("anvil_mine", hex(200))
    world.client.create_challenge(alice)
    largest: list[int] = []

    def narrow(method: str, params: Params, truth: Callable[[], Any]) -> Any:
        if method == "eth_getLogs" and "toBlock" in params[0]:
            span = int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1
            if span > 8:
                raise Refusal("block range is too large")
            largest.append(span)
        return truth()

    node.lie = narrow
    report = world.follow(policy=replace(world.policy, max_block_range=40))

    assert report.splits == 3
    assert max(largest) <= 8
    assert len(world.rows("select 1 from public.challenges")) == 1


def test_a_second_writer_is_refused_not_merged(world: World) -> None:
    (alice,) = world.funded("alice")
    world.follow()
    world.client.create_challenge(alice)
    raced: list[int] = []

    def race(asked: Sequence[tuple[int, str, Point]]) -> list[dict[str, Any]]:
        if not raced:
            raced.append(world.follow().logs)
        return world.contracts.challenge_snapshot(asked)

    with pytest.raises(CheckpointMoved, match="another indexer is at work"):
        index.follow(world.engine, world.reader, world.policy, race)

    assert raced == [1]
    assert len(world.rows("select 1 from public.challenges")) == 1
    assert world.follow().blocks == 0


def test_a_crash_at_any_statement_of_a_commit_leaves_the_old_state_or_the_new_one(
    world: World,
) -> None:
    alice, bob = world.funded("alice", "bob")
    client = world.client
    challenge = client.create_challenge(alice)
    world.follow()
    snapshot = client.node.call("evm_snapshot")
    client.join(bob, challenge)
    client.cancel(alice, challenge)
    client.claim_refund(bob, challenge)
    world.follow()
    # The range to commit undoes these blocks and brings others.
    client.node.call("evm_revert", snapshot)
    client.travel(11)
    client.join(bob, challenge, 2 * ETH)
    client.request_inference(world.deployment.worker, challenge, alice.address)
    for _ in range(5):
        client.node.call("evm_mine")

    def everything() -> dict[str, Any]:
        return world.state() | {"adopted": world.table("pipeline.adopted_rows")}

    before = now = everything()
    crashed = 0
    for at in range(1, 100):
        count = 0

        def crash(*_: Any, stop: int = at) -> None:
            nonlocal count
            count += 1
            if count == stop:
                raise RuntimeError("power cut")

        writing = _arm(world.engine, crash)
        try:
            world.follow()
        except RuntimeError:
            crashed += 1
        finally:
            writing()
        now = everything()
        if now != before:
            break

    # The one commit of this run changed everything at once: there is nothing left to do.
    assert crashed > 15
    assert world.follow().blocks == 0
    assert everything() == now
    after = world.projections()
    assert [row["amount_wei"] for row in after["pipeline.stakes"]] != []
    assert after["public.claims"] == []
    assert world.rows("select status from public.challenges") == [{"status": "Active"}]


def _arm(engine: Engine, crash: Callable[..., None]) -> Callable[[], None]:
    """Call ``crash`` before each statement and each commit from now on; returns how to stop."""
    event.listen(engine, "before_cursor_execute", crash)
    event.listen(engine, "commit", crash)

    def disarm() -> None:
        event.remove(engine, "before_cursor_execute", crash)
        event.remove(engine, "commit", crash)

    return disarm


def test_a_heartbeat_that_raises_ends_the_run_between_two_ranges(world: World) -> None:
    (alice,) = world.funded("alice")
    for _ in range(12):
        world.client.node.call("evm_mine")
    world.client.create_challenge(alice)
    beats: list[int] = []

    def beat() -> None:
        beats.append(1)
        if len(beats) == 3:
            raise PermanentError("the lease is lost")

    small = replace(world.policy, max_block_range=5)
    with pytest.raises(PermanentError, match="lease"):
        world.follow(policy=small, heartbeat=beat)

    held = index.checkpoint(world.engine, small)
    assert held is not None
    assert held.number == small.start_block - 1 + 10


def test_a_node_of_another_chain_is_refused(world: World) -> None:
    elsewhere = replace(world.policy, chain_id=1)
    with pytest.raises(PermanentError, match="on chain 504, LCAI_CHAIN_ID says 1"):
        world.follow(policy=elsewhere)
    with pytest.raises(PermanentError, match="on chain 504"):
        world.look(elsewhere)
    assert world.rows("select 1 from pipeline.checkpoints") == []


@pytest.mark.parametrize(
    ("addresses", "message"),
    [
        ({}, "no contract address"),
        ({"challengepay": "0x12"}, "expected 0x and 40 hex"),
        ({"oracle": "0x" + "11" * 20}, "no contract plays the role 'oracle'"),
        ({"treasury": "0x" + "aa" * 20, "challengepay": "0x" + "AA" * 20}, "have one address"),
    ],
)
def test_a_policy_that_cannot_work_is_refused(addresses: dict[str, str], message: str) -> None:
    with pytest.raises(PermanentError, match=message):
        IndexPolicy(504, addresses)


# ── look ──


def test_an_idle_chain_is_followed_by_looking_alone(world: World) -> None:
    world.follow()
    for _ in range(5):
        world.client.node.call("evm_mine")

    outlook = world.look()

    head = world.client.node.block_number()
    assert (outlook.waiting, outlook.empty_blocks, outlook.checkpoint) == (False, 5, head)
    assert world.look().empty_blocks == 0
    held = index.checkpoint(world.engine, world.policy)
    assert held is not None and held.number == head
    assert world.rows("select distinct value from public.indexer_state") == [{"value": str(head)}]
    assert world.follow().blocks == 0


def test_a_range_with_logs_waits_for_a_run_under_one_name_until_it_grows(world: World) -> None:
    (alice,) = world.funded("alice")
    world.follow()
    before = world.state()
    world.client.create_challenge(alice)

    first = world.look()

    assert first.waiting
    assert first.to_block == world.client.node.block_number()
    assert world.look().range_hash == first.range_hash
    assert world.state() == before
    world.client.node.call("evm_mine")
    assert world.look().range_hash != first.range_hash
    world.follow()
    assert not world.look().waiting


def test_a_long_absence_is_a_runs_work(world: World) -> None:
    world.follow()
    world.client.node.call("anvil_mine", hex(index.TICK_BLOCKS + 1))
    calls = world.rpc.calls

    outlook = world.look()

    assert outlook.waiting
    assert world.rpc.calls - calls == 1
    assert outlook.to_block - outlook.from_block == index.TICK_BLOCKS


def test_looking_at_a_chain_before_its_start_block_waits(world: World) -> None:
    early = replace(world.policy, start_block=10_000)
    assert not world.look(early).waiting
    assert world.follow(policy=early).blocks == 0
    assert world.rows("select 1 from pipeline.checkpoints") == []


def test_an_unreachable_node_is_an_outage(world: World) -> None:
    world.rpc = Rpc("http://127.0.0.1:9/secret-key-123", retries=0)
    with pytest.raises(RpcUnavailable) as outage:
        world.look()
    assert "secret-key" not in str(outage.value)


# ── headers ──


def test_headers_of_the_window_are_kept_and_older_empty_ones_forgotten(world: World) -> None:
    (alice,) = world.funded("alice")
    world.client.create_challenge(alice)
    created = world.client.node.block_number()
    narrow = replace(world.policy, window=10, max_block_range=7)
    world.client.node.call("anvil_mine", hex(40))
    world.follow(policy=narrow)
    world.client.node.call("anvil_mine", hex(15))
    world.look(narrow)
    world.follow(policy=narrow)

    head = world.client.node.block_number()
    numbers = [
        row["number"] for row in world.rows("select number from pipeline.chain_blocks order by 1")
    ]
    assert numbers[-10:] == list(range(head - 9, head + 1))
    assert created in numbers
    assert narrow.start_block - 1 in numbers
    old = world.rows(
        "select count(*) as n from pipeline.chain_blocks where number < :b and log_count = 0"
        " and number <> :keep",
        b=head - 10,
        keep=narrow.start_block - 1,
    )
    assert old == [{"n": 0}]


# ── heal and rebuild ──


def test_healing_adds_what_was_missed_and_drops_what_was_never_there(world: World) -> None:
    alice, bob = world.funded("alice", "bob")
    client = world.client
    challenge = client.create_challenge(alice)
    client.join(bob, challenge)
    client.cancel(alice, challenge)
    client.claim_refund(bob, challenge)
    world.follow()
    right = world.state()
    held = index.checkpoint(world.engine, world.policy)
    assert held is not None
    world.run("delete from pipeline.chain_logs where event = 'ChallengePay.Joined'")
    world.run(
        "update pipeline.chain_logs set account = lower(:s), data = '0x' || repeat('0', 63) || '9'"
        " where event = 'ChallengePay.RefundClaimed'",
        s="0x" + "ee" * 20,
    )
    world.run("update pipeline.chain_blocks set log_count = 0")
    for projection in ("stakes", "participants", "claims"):
        index.rebuild(world.engine, world.policy, projection)
    assert world.projections() != {k: right[k] for k in index.PROJECTIONS.values()}

    report = world.heal(0, held.number + 1000)

    assert (report.added_logs, report.dropped_logs) == (2, 1)
    assert {k: v for k, v in world.state().items() if k != "pipeline.chain_blocks"} == {
        k: v for k, v in right.items() if k != "pipeline.chain_blocks"
    }
    assert index.checkpoint(world.engine, world.policy) == held
    again = world.heal(0, held.number)
    assert (again.added_logs, again.dropped_logs, again.rows_changed) == (0, 0, {})


def test_healing_never_reads_beyond_the_checkpoint(world: World) -> None:
    (alice,) = world.funded("alice")
    world.follow()
    held = index.checkpoint(world.engine, world.policy)
    world.client.create_challenge(alice)

    report = world.heal(0, 10**6)

    assert held is not None and report.to_block == held.number
    assert world.rows("select 1 from public.challenges") == []
    assert index.checkpoint(world.engine, world.policy) == held


@pytest.mark.parametrize("projection", list(index.PROJECTIONS))
def test_a_rebuild_needs_no_node_and_finds_nothing_to_change(world: World, projection: str) -> None:
    alice, bob = world.funded("alice", "bob")
    client = world.client
    challenge = client.create_challenge(alice)
    client.join(bob, challenge)
    client.request_inference(world.deployment.worker, challenge, alice.address)
    client.bind(world.deployment.worker, challenge, bob.address, 1)
    client.cancel(alice, challenge)
    client.claim_refund(bob, challenge)
    client.admin_mint(bob.address, challenge, "completion")
    world.follow()
    before = world.projections()

    calls = world.rpc.calls
    assert index.rebuild(world.engine, world.policy, projection).rows_changed == 0
    assert world.projections() == before
    assert world.rpc.calls == calls

    table = index.PROJECTIONS[projection]
    if projection not in ("challenges", "aivm_jobs", "chain_winners"):
        world.run(f"delete from {table}")  # noqa: S608
        assert index.rebuild(world.engine, world.policy, projection).rows_changed > 0
        assert world.projections() == before


def test_an_unknown_projection_is_named_with_those_that_exist(world: World) -> None:
    with pytest.raises(PermanentError, match=r"'chain'; there are chain_challenges, stakes"):
        index.rebuild(world.engine, world.policy, "chain")

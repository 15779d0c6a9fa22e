"""What is asked a second time, of whom, and what is never taken for an answer."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, event

from lightchallenge_dagster.chain.reader import BadAnswer, NotThereYet, RangeRefused, Truncated
from lightchallenge_dagster.chain.rpc import Rpc
from lightchallenge_dagster.rules.reorg import Point
from lightchallenge_dagster.steps import index
from lightchallenge_dagster.steps.index import NEAR_HEAD, CheckpointMoved
from lightchallenge_dagster.steps.indexing import patience
from tests.steps.index_world import World, open_world
from tests.steps.lying_node import Lie, LyingNode, Params, Refusal, bent, honest, times

Truth = Callable[[], Any]


@pytest.fixture
def world(database: Engine, devnet: Any) -> Iterator[World]:
    """The contracts' own first events are indexed already."""
    for world in open_world(database, devnet):
        world.follow()
        yield world


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


def with_a_second_endpoint(world: World, node: LyingNode) -> None:
    world.rpc = Rpc([node.url, world.deployment.rpc_url])


def mine(world: World, blocks: int) -> None:
    world.client.node.call("anvil_mine", hex(blocks))


def stored(world: World) -> int:
    """Logs of users."""
    return world.rows(
        "select count(*) as n from pipeline.chain_logs where event <> 'ChallengePay.DispatcherSet'"
        " and event not like 'ChallengeTaskRegistry.%'"
    )[0]["n"]


def span(params: Params) -> tuple[int, int] | None:
    """First and last block of an eth_getLogs by number; None for one by hash."""
    query = params[0]
    if "blockHash" in query:
        return None
    return int(query["fromBlock"], 16), int(query["toBlock"], 16)


# ── Lists that are cut off ──


def test_a_list_cut_off_at_a_round_number_is_found_and_read_in_smaller_ranges(
    world: World, node: LyingNode
) -> None:
    alice, bob = world.funded("alice", "bob")
    challenge = world.client.create_challenge(alice)
    for _ in range(29):
        world.client.join(bob, challenge, 10**15)
    mine(world, NEAR_HEAD)
    node.lie = bent("eth_getLogs", lambda logs: logs[:25])

    report = world.follow()

    assert (report.logs, stored(world)) == (30, 30)
    assert report.compared_answers == 0, "what was cut off did not count"
    assert report.splits == 1
    (errors,) = report.endpoint_errors.values()
    assert errors == {"truncated": 1}


def test_a_round_number_of_logs_that_are_all_there_is_is_believed_after_a_second_look(
    world: World, node: LyingNode
) -> None:
    alice, bob = world.funded("alice", "bob")
    challenge = world.client.create_challenge(alice)
    for _ in range(24):
        world.client.join(bob, challenge, 10**15)
    mine(world, NEAR_HEAD)

    report = world.follow()

    assert (report.logs, report.splits, report.endpoint_errors) == (25, 0, {})
    assert report.compared_answers == 1


@pytest.mark.parametrize("second", [False, True])
def test_a_single_block_that_is_cut_off_is_compared_with_its_logs_by_hash(
    world: World, node: LyingNode, second: bool
) -> None:
    alice, bob = world.funded("alice", "bob")
    challenge = world.client.create_challenge(alice)
    world.follow()
    world.join_together(challenge, *[bob] * 28)
    mine(world, NEAR_HEAD)
    before = world.state()

    def cut(method: str, params: Params, truth: Truth) -> Any:
        by_number = method == "eth_getLogs" and span(params) is not None
        return truth()[:25] if by_number else truth()

    node.lie = cut
    one_by_one = replace(world.policy, max_block_range=1)
    if not second:
        with pytest.raises(Truncated, match=r"returned 25 logs .* has 28 by its hash"):
            world.follow(policy=one_by_one)
        assert world.state() == before
        return
    with_a_second_endpoint(world, node)
    assert world.follow(policy=one_by_one).logs == 28


def test_a_kind_of_log_that_an_answer_lacks_though_the_bloom_speaks_of_it_is_missed(
    world: World, node: LyingNode
) -> None:
    (alice,) = world.funded("alice")
    challenge = world.client.create_challenge(alice)
    world.client.travel_to(world.client.challenge(challenge).proof_deadline_ts + 1)
    world.client.finalize(alice, challenge)
    finalized = world.client.node.block_number()
    mine(world, NEAR_HEAD)

    def lack(method: str, params: Params, truth: Truth) -> Any:
        by_number = method == "eth_getLogs" and span(params) is not None
        return [log for log in truth() if int(log["logIndex"], 16) == 0] if by_number else truth()

    node.lie = lack
    with pytest.raises(Truncated, match=f"1 logs of block {finalized}, which has 3 by its hash"):
        world.follow()

    held = index.checkpoint(world.engine, world.policy)
    assert held is not None and held.number < finalized
    node.lie = honest
    world.follow()
    events = world.rows(
        "select event from pipeline.chain_logs where block_number = :n order by 1", n=finalized
    )
    assert len(events) == 3


# ── Nodes that have not got so far ──


def test_near_the_head_logs_are_read_by_hash_and_older_ones_by_number(
    world: World, node: LyingNode
) -> None:
    (alice,) = world.funded("alice")
    world.client.create_challenge(alice)
    mine(world, 100)
    node.asked.clear()

    report = world.follow()

    head = world.client.node.block_number()
    spans = [span(params) for method, params in node.asked if method == "eth_getLogs"]
    assert [one for one in spans if one] == [(report.from_block, head - NEAR_HEAD)]
    assert spans.count(None) == NEAR_HEAD == report.by_hash_blocks
    assert report.logs == 1


@pytest.mark.parametrize("second", [False, True])
def test_a_node_that_answers_nothing_for_blocks_beyond_its_own_head_is_not_believed(
    world: World, node: LyingNode, second: bool
) -> None:
    (alice,) = world.funded("alice")
    world.follow()
    mine(world, 100)
    world.client.create_challenge(alice)
    before = world.state()
    reached = world.client.node.block_number() - 50

    def lag(method: str, params: Params, truth: Truth) -> Any:
        # The head is another node's, behind the same address.
        if method == "eth_getBlockByNumber" and params[0].startswith("0x"):
            return truth() if int(params[0], 16) <= reached else None
        if method == "eth_getLogs":
            return []
        return truth()

    node.lie = lag
    if not second:
        with pytest.raises(NotThereYet, match=r"does not have block \d+ yet"):
            world.follow()
        assert world.state() == before
        return
    with_a_second_endpoint(world, node)
    report = world.follow()
    assert (report.logs, report.lag_blocks) == (1, 0)
    (errors,) = report.endpoint_errors.values()
    assert errors == {"behind": 1}


def test_an_endpoint_behind_the_checkpoint_is_waited_for_and_nothing_is_undone(
    world: World, node: LyingNode
) -> None:
    (alice,) = world.funded("alice")
    world.client.create_challenge(alice)
    mine(world, 10)
    world.follow()
    before = world.state()
    reached = world.client.node.block_number() - 5

    def lag(method: str, params: Params, truth: Truth) -> Any:
        if method != "eth_getBlockByNumber":
            return truth()
        if params[0] == "latest":
            return world.client.node.call(method, hex(reached), False)
        return truth() if params[0][:2] != "0x" or int(params[0], 16) <= reached else None

    node.lie = lag
    assert world.look().node_behind
    assert world.follow().blocks == 0
    assert world.state() == before


def test_a_chain_that_fills_no_blooms_is_read_all_the_same(world: World, node: LyingNode) -> None:
    alice, bob = world.funded("alice", "bob")
    challenge = world.client.create_challenge(alice)
    mine(world, 100)
    world.client.join(bob, challenge)
    node.lie = bent(
        "eth_getBlockByNumber", lambda block: block and block | {"logsBloom": "0x" + "00" * 256}
    )

    assert world.follow().logs == 2
    world.client.join(bob, challenge)
    assert world.look().waiting
    assert world.follow().logs == 1


# ── Patience, and its end ──


def test_one_removed_log_is_a_moving_chain_and_read_again_from_the_same_node(
    world: World, node: LyingNode
) -> None:
    (alice,) = world.funded("alice")
    world.client.create_challenge(alice)
    node.lie = times(1, bent("eth_getLogs", lambda logs: [one | {"removed": True} for one in logs]))

    report = world.follow()

    assert (report.logs, report.endpoint_errors) == (1, {})


def test_an_answer_in_another_order_is_the_same_answer(world: World, node: LyingNode) -> None:
    alice, bob, carol = world.funded("alice", "bob", "carol")
    world.join_together(world.client.create_challenge(alice), bob, carol)
    node.lie = bent("eth_getLogs", lambda logs: logs[::-1])

    report = world.follow()

    assert (report.logs, report.endpoint_errors) == (3, {})


def test_a_node_that_goes_on_lying_is_asked_a_bounded_number_of_times_with_waits_between(
    world: World, node: LyingNode, waits: list[float]
) -> None:
    (alice,) = world.funded("alice")
    world.client.create_challenge(alice)
    world.client.node.call("evm_mine")
    before = world.state()
    held = index.checkpoint(world.engine, world.policy)
    assert held is not None
    blocks = world.client.node.block_number() - held.number
    node.lie = bent("eth_getLogs", lambda logs: [*logs, *logs])
    node.asked.clear()

    with pytest.raises(BadAnswer, match="came twice"):
        world.follow()

    assert node.count("eth_getLogs") == 3 * blocks
    assert len(waits) == 2 and all(0 <= wait <= 2 for wait in waits)
    assert world.state() == before
    node.lie = honest
    assert world.follow().logs == 1


def test_an_internal_error_is_asked_again_of_the_next_endpoint(
    world: World, node: LyingNode
) -> None:
    (alice,) = world.funded("alice")
    world.client.create_challenge(alice)

    def fail(answer: Any) -> Any:
        raise Refusal("internal error", -32603)

    node.lie = bent("eth_getLogs", fail)
    with_a_second_endpoint(world, node)

    assert world.look().waiting
    assert world.follow().logs == 1


def test_a_snapshot_of_an_orphaned_creation_is_asked_for_again(
    world: World, node: LyingNode
) -> None:
    alice, bob = world.funded("alice", "bob")
    snapshot = world.client.node.call("evm_snapshot")
    challenge = world.client.create_challenge(bob)
    ((stale,),) = [world.contracts.challenge_snapshot([(challenge, bob.address, "latest")])]
    world.client.node.call("evm_revert", snapshot)
    assert world.client.create_challenge(alice) == challenge
    asked: list[Point] = []

    def first_stale(wanted: Sequence[tuple[int, str, Point]]) -> list[dict[str, Any]]:
        asked.extend(block for _, _, block in wanted)
        return [stale] if len(asked) == 1 else world.contracts.challenge_snapshot(wanted)

    report = index.follow(world.engine, world.reader, world.policy, first_stale)

    assert report.logs == 1 and len(asked) == 2
    assert asked[1].hash == world.reader.block(asked[1].number).hash
    (row,) = world.rows("select creator from pipeline.chain_challenges")
    assert row["creator"] == alice.address


# ── Ranges ──


def test_the_range_that_a_node_proposes_is_asked_for_and_remembered_by_the_next_run(
    world: World, node: LyingNode
) -> None:
    mine(world, 200)
    asked: list[int] = []

    def limited(method: str, params: Params, truth: Truth) -> Any:
        blocks = span(params) if method == "eth_getLogs" else None
        if blocks is not None:
            asked.append(blocks[1] - blocks[0] + 1)
            if asked[-1] > 30:
                raise Refusal("eth_getLogs is limited to a 30 blocks range", -32602)
        return truth()

    node.lie = limited
    assert world.follow().splits >= 1
    # Now and then a little more is tried.
    grown = 30 + 30 // 4
    assert asked[0] > 100 and asked[1] == 30 and max(asked[1:]) <= grown

    world.rpc = Rpc(node.url)
    mine(world, 200)
    del asked[:]
    world.follow()
    assert max(asked) <= grown


def test_what_a_failing_run_learned_of_the_range_is_remembered_too(
    world: World, node: LyingNode
) -> None:
    mine(world, 200)

    def limited(method: str, params: Params, truth: Truth) -> Any:
        blocks = span(params) if method == "eth_getLogs" else None
        if blocks is not None and blocks[1] - blocks[0] >= 30:
            raise Refusal("eth_getLogs is limited to a 30 blocks range", -32602)
        if blocks is not None:
            raise Refusal("internal error")
        return truth()

    node.lie = limited
    with pytest.raises(Exception, match="internal error"):
        world.follow()
    world.rpc = Rpc(node.url)
    node.lie = honest
    node.asked.clear()

    world.follow()

    spans = [span(params) for method, params in node.asked if method == "eth_getLogs"]
    assert max(last - first + 1 for first, last in filter(None, spans)) <= 30 + 30 // 4


def test_a_node_that_takes_one_call_at_a_time_is_followed(world: World, node: LyingNode) -> None:
    alice, bob = world.funded("alice", "bob")
    challenge = world.client.create_challenge(alice)
    mine(world, 80)
    world.client.join(bob, challenge)
    node.most_at_once = 1

    assert world.follow().logs == 2


# ── Writers ──


def test_of_two_followers_at_once_one_writes_a_range_and_the_other_is_refused(
    world: World, node: LyingNode
) -> None:
    alice, bob = world.funded("alice", "bob")
    world.follow()
    world.join_together(world.client.create_challenge(alice), bob)
    both = threading.Barrier(2, timeout=20)
    ends: list[object] = []

    def together(asked: Sequence[tuple[int, str, Point]]) -> list[dict[str, Any]]:
        found = world.contracts.challenge_snapshot(asked)
        both.wait()
        return found

    def run() -> None:
        rpc = Rpc(node.url)
        try:
            reader = index_reader(rpc)
            ends.append(index.follow(world.engine, reader, world.policy, together).logs)
        except CheckpointMoved as error:
            ends.append(error)
        finally:
            rpc.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    refused = [end for end in ends if isinstance(end, CheckpointMoved)]
    assert len(ends) == 2 and len(refused) == 1
    assert 2 in ends
    assert stored(world) == 2
    assert world.follow().blocks == 0


def index_reader(rpc: Rpc) -> Any:
    from lightchallenge_dagster.chain.reader import ChainReader

    return ChainReader(rpc)


# ── Reading ahead ──


def test_the_next_range_is_read_while_one_is_written(world: World, node: LyingNode) -> None:
    mine(world, 300)
    small = replace(world.policy, max_block_range=100)
    held = index.checkpoint(world.engine, small)
    assert held is not None
    second = held.number + 101
    second_was_asked_for = threading.Event()

    def watch(method: str, params: Params, truth: Truth) -> Any:
        blocks = span(params) if method == "eth_getLogs" else None
        if blocks is not None and blocks[0] == second:
            second_was_asked_for.set()
        return truth()

    node.lie = watch
    waited: list[bool] = []

    def hold_the_commit(connection: Any) -> None:
        now = index.checkpoint(world.engine, small)
        if now == held and not waited:
            waited.append(second_was_asked_for.wait(10))

    moving(world, hold_the_commit, lambda: world.follow(policy=small))

    assert waited == [True]


def moving(world: World, before: Callable[[Any], None], act: Callable[[], Any]) -> None:
    """``before`` is called just before a checkpoint moves, while ``act`` goes on."""

    def watch(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "update pipeline.checkpoints set block_number" in statement:
            before(connection)

    event.listen(world.engine, "before_cursor_execute", watch)
    try:
        act()
    finally:
        event.remove(world.engine, "before_cursor_execute", watch)


def test_a_range_read_ahead_of_a_commit_that_fails_is_thrown_away(
    world: World, node: LyingNode
) -> None:
    mine(world, 300)
    small = replace(world.policy, max_block_range=100)
    held = index.checkpoint(world.engine, small)
    assert held is not None

    def fail(connection: Any) -> None:
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        moving(world, fail, lambda: world.follow(policy=small))
    assert index.checkpoint(world.engine, small) == held
    assert not [one for one in threading.enumerate() if one.name.startswith("read-ahead")]

    assert world.follow(policy=small).from_block == held.number + 1


def test_a_chain_that_moves_between_two_ranges_is_read_again_from_the_last_good_block(
    world: World, node: LyingNode
) -> None:
    alice, bob = world.funded("alice", "bob")
    challenge = world.client.create_challenge(alice)
    mine(world, 10)
    snapshot = world.client.node.call("evm_snapshot")
    now = world.client.now()
    mine(world, 20)
    small = replace(world.policy, max_block_range=4)
    fork = world.client.node.block_number() - 20
    moved: list[int] = []

    def move(method: str, params: Params, truth: Truth) -> Any:
        if method == "eth_getBlockByNumber" and params[0] == hex(fork + 9) and not moved:
            moved.append(1)
            world.client.node.call("evm_revert", snapshot)
            world.client.travel_to(now + 11)
            world.client.join(bob, challenge)
            mine(world, 30)
        return truth()

    node.lie = move
    report = world.follow(policy=small)

    head = world.reader.head()
    held = index.checkpoint(world.engine, small)
    assert held == Point(head.number, head.hash)
    assert moved and report.lag_blocks == 0
    assert stored(world) == 2
    numbers = world.rows("select number, hash, parent_hash from pipeline.chain_blocks order by 1")
    for before, after in itertools.pairwise(numbers):
        if after["number"] == before["number"] + 1:
            assert after["parent_hash"] == before["hash"]


# ── Many blocks ──


def test_empty_blocks_cost_one_request_a_range_across_partitions(
    world: World,
) -> None:
    blocks = 250_000
    world.run("delete from pipeline.checkpoints")
    with EmptyChain(blocks).serving() as chain:
        rpc = Rpc(chain.url)
        policy = replace(world.policy, chain_id=EmptyChain.CHAIN_ID, start_block=1)
        started = time.perf_counter()
        report = index.follow(world.engine, index_reader(rpc), policy, world.snapshot)
        seconds = time.perf_counter() - started
        rpc.close()

    assert report.blocks == blocks
    assert report.partitions == [
        "000000000-000099999",
        "000100000-000199999",
        "000200000-000299999",
    ]
    ranges = blocks / policy.max_block_range
    assert chain.requests <= ranges + 12
    assert seconds < 60
    (kept,) = world.rows(
        "select count(*) as n from pipeline.chain_blocks where chain_id = :c", c=policy.chain_id
    )
    assert kept["n"] == policy.window + 2, "the window, the checkpoint and the base"


class EmptyChain(LyingNode):
    """A chain of so many blocks without logs, made up as it is asked for."""

    CHAIN_ID = 777

    def __init__(self, head: int) -> None:
        super().__init__("http://127.0.0.1:9")

        def block(number: int) -> dict[str, Any]:
            return {
                "number": hex(number),
                "hash": f"0x{number + 1:064x}",
                "parentHash": f"0x{number:064x}",
                "timestamp": hex(1_700_000_000 + 2 * number),
                "logsBloom": "0x" + "00" * 256,
            }

        def answer(method: str, params: Params, truth: Truth) -> Any:
            if method == "eth_chainId":
                return hex(self.CHAIN_ID)
            if method == "eth_getLogs":
                return []
            known = {"latest": head, "finalized": head - 100}
            tag = params[0]
            return block(known[tag] if tag in known else int(tag, 16))

        self.lie = answer


# ── Blocks that are too much ──


def no_more_than(limit: int, allowed: Callable[[dict[str, Any]], bool]) -> Lie:
    """The node returns so many logs at once, unless the question is an ``allowed`` one."""

    def lie(method: str, params: Params, truth: Truth) -> Any:
        answer = truth()
        if method == "eth_getLogs" and len(answer) > limit and not allowed(params[0]):
            raise Refusal(f"query returned more than {limit} results", -32005)
        return answer

    return lie


@pytest.mark.parametrize("blocks_since", [0, 80])
def test_a_block_of_strangers_logs_that_no_node_returns_whole_stops_nothing(
    world: World, node: LyingNode, blocks_since: int
) -> None:
    alice, bob = world.funded("alice", "bob")
    challenge = world.client.create_challenge(alice)
    world.follow()
    world.join_together(challenge, *[bob] * 3)
    mine(world, blocks_since)
    node.lie = no_more_than(2, lambda query: "address" in query)

    report = world.follow()

    assert (report.logs, report.lag_blocks, report.splits) == (3, 0, 0)


@pytest.mark.parametrize("blocks_since", [0, 80])
def test_a_block_of_more_logs_of_ours_than_a_node_returns_is_read_event_by_event(
    world: World, node: LyingNode, blocks_since: int
) -> None:
    alice, bob, carol = world.funded("alice", "bob", "carol")
    challenge = world.client.create_challenge(alice)
    world.follow()
    world.join_together(challenge, *[bob, carol] * 8)
    mine(world, blocks_since)
    by_event = no_more_than(15, lambda query: len(query.get("topics", [[]])[0]) == 1)
    node.lie = by_event

    report = world.follow()

    assert (report.logs, report.lag_blocks) == (16, 0)
    placed = "select log_index from pipeline.chain_logs where event = 'ChallengePay.Joined'"
    assert len(world.rows(placed)) == 16


@pytest.mark.parametrize("blocks_since", [0, 80])
def test_when_nothing_smaller_is_left_to_ask_for_the_refusal_names_the_block(
    world: World, node: LyingNode, blocks_since: int
) -> None:
    alice, bob = world.funded("alice", "bob")
    challenge = world.client.create_challenge(alice)
    world.follow()
    world.join_together(challenge, *[bob] * 3)
    block = world.client.node.block_number()
    mine(world, blocks_since)
    node.lie = no_more_than(2, lambda query: False)

    with pytest.raises(RangeRefused, match=rf"block {block} .*more than 2 results"):
        world.follow()

    held = index.checkpoint(world.engine, world.policy)
    assert held is not None and held.number == block - 1


@pytest.mark.parametrize("refusals", [1, 99])
def test_logs_left_out_twice_of_a_block_whose_whole_was_refused_are_asked_for_by_event(
    world: World, node: LyingNode, refusals: int
) -> None:
    """Seed 310 of the simulator: an empty answer, a refusal, another empty answer."""
    alice, bob = world.funded("alice", "bob")
    challenge = world.client.create_challenge(alice)
    world.follow()
    world.join_together(challenge, bob)
    left = {"refusals": refusals, "empty answers": 2}

    def lie(method: str, params: Params, truth: Truth) -> Any:
        answer = truth()
        if method != "eth_getLogs" or not answer:
            return answer
        if "address" not in params[0] and left["refusals"]:
            left["refusals"] -= 1
            raise Refusal("query exceeds max block range")
        by_event = len(params[0].get("topics", [[]])[0]) == 1
        if "address" in params[0] and not by_event and left["empty answers"]:
            left["empty answers"] -= 1
            return []
        return answer

    node.lie = lie

    world.follow()

    joined = "select challenge_id from pipeline.chain_logs where event = 'ChallengePay.Joined'"
    assert [row["challenge_id"] for row in world.rows(joined)] == [challenge]

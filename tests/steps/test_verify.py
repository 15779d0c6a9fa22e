"""The second reading: late logs come in, wrong ones go, and no single node decides either."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.chain.reader import ChainReader
from lightchallenge_dagster.chain.rpc import Rpc
from lightchallenge_dagster.rules.events import topic_of
from lightchallenge_dagster.steps import index, verify
from lightchallenge_dagster.steps.index import IndexPolicy
from lightchallenge_dagster.steps.verify import VerifyOutlook, VerifyReport
from tests.steps.bent_node import BentNode, denying, without
from tests.steps.index_world import World, open_world

ETH = 10**18
JOINED = topic_of("ChallengePay.Joined")
consistent_liar = denying(JOINED)


@pytest.fixture
def world(database: Engine, devnet: Any) -> Iterator[World]:
    yield from open_world(database, devnet)


@pytest.fixture
def second(world: World) -> Iterator[BentNode]:
    """Another node of the same chain, honest until told otherwise."""
    with BentNode(world.deployment.rpc_url).serving() as node:
        yield node


@pytest.fixture
def first(world: World) -> Iterator[BentNode]:
    """The node that comes first in LCAI_RPC."""
    with BentNode(world.deployment.rpc_url).serving() as node:
        yield node


def one_node(world: World) -> ChainReader:
    return ChainReader(Rpc(world.deployment.rpc_url))


def two_nodes(first: BentNode, second: BentNode) -> ChainReader:
    return ChainReader(Rpc([first.url, second.url], retries=0))


def look(world: World, reader: ChainReader, **how: Any) -> VerifyOutlook:
    return verify.look(world.engine, reader, world.policy, **({"behind": 0} | how))


def run(world: World, reader: ChainReader, **how: Any) -> VerifyReport:
    policy: IndexPolicy = how.pop("policy", world.policy)
    return verify.verify(
        world.engine,
        reader,
        policy,
        world.snapshot,
        achievement=world.contracts.achievement_of,
        **({"behind": 0} | how),
    )


def three_stakes(world: World) -> list[dict[str, Any]]:
    """A challenge with two joiners, indexed as it is; returns the stakes."""
    alice, bob, carol = world.funded("alice", "bob", "carol")
    challenge = world.client.create_challenge(alice, max_participants=5)
    world.client.join(bob, challenge, ETH)
    world.client.join(carol, challenge, 2 * ETH)
    # The ends of a range are held against their headers' blooms at once; these lie inside it.
    for _ in range(3):
        world.client.node.call("evm_mine")
    world.follow()
    return world.table("pipeline.stakes")


def forget(world: World, event: str) -> None:
    """As if a node had left the event out when its block was read: no log, nothing from it."""
    world.run("delete from pipeline.chain_logs where event = :event", event=event)
    for projection in index.PROJECTIONS:
        index.rebuild(world.engine, world.policy, projection)


def invent(world: World) -> dict[str, Any]:
    """A stored log that the chain never had, beside a true one, and all that follows from it."""
    world.run(
        "insert into pipeline.chain_logs"
        " select chain_id, block_number, log_index + 100, block_hash, block_timestamp, tx_hash,"
        "  tx_index, address, topics, data, event, challenge_id, account, request_id, args,"
        "  snapshot, problem"
        " from pipeline.chain_logs where event = 'ChallengePay.Joined'"
        " order by block_number limit 1"
    )
    for projection in index.PROJECTIONS:
        index.rebuild(world.engine, world.policy, projection)
    return world.state()


def watermarks(world: World) -> set[int]:
    return {row["block_number"] for row in world.rows("select * from pipeline.verified_streams")}


def checkpoint(world: World) -> int:
    return world.rows("select block_number from pipeline.checkpoints")[0]["block_number"]


def problems(world: World) -> list[str]:
    return [
        row["problem"]
        for row in world.rows(
            "select distinct problem from pipeline.verified_streams where problem is not null"
        )
    ]


# ── One node ────────────────────────────────────────────────────────────────────────────────


def test_blocks_that_are_equal_are_passed_by_the_look_itself(world: World) -> None:
    three_stakes(world)

    outlook = look(world, one_node(world))

    assert not outlook.waiting
    assert outlook.blocks > 0
    assert watermarks(world) == {checkpoint(world)}
    again = look(world, one_node(world))
    assert (again.waiting, again.blocks) == (False, 0)


def test_blocks_near_the_checkpoint_are_left_to_settle(world: World) -> None:
    three_stakes(world)

    look(world, one_node(world), behind=2)

    assert watermarks(world) == {checkpoint(world) - 2}


def test_before_anything_is_indexed_there_is_nothing_to_verify(world: World) -> None:
    outlook = look(world, one_node(world))
    assert (outlook.waiting, outlook.verified) == (False, None)
    assert run(world, one_node(world)).blocks == 0


def test_a_log_that_was_left_out_is_found_added_and_counted(world: World) -> None:
    stakes = three_stakes(world)
    everything = world.state()
    forget(world, "ChallengePay.Joined")
    assert world.table("pipeline.stakes") != stakes

    assert look(world, one_node(world)).waiting
    report = run(world, one_node(world))

    assert (report.late_logs, report.wrong_logs, report.history_logs) == (2, 0, 0)
    assert report.rows_changed["pipeline.stakes"] == 2
    assert world.state() == everything
    assert watermarks(world) == {checkpoint(world)}
    counted = world.rows(
        "select late_logs from pipeline.verified_streams where role = 'challengepay'"
    )
    assert counted == [{"late_logs": 2}]
    found = world.rows("select finding, event from pipeline.verification_findings")
    assert found == [{"finding": "late", "event": "ChallengePay.Joined"}] * 2


def test_a_challenge_that_was_left_out_comes_back_with_its_snapshot(world: World) -> None:
    three_stakes(world)
    everything = world.state()
    forget(world, "ChallengePay.ChallengeCreated")

    run(world, one_node(world))

    assert world.state() == everything


def test_a_stored_log_that_the_chain_does_not_have_is_dropped_and_counted(world: World) -> None:
    three_stakes(world)
    everything = world.state()
    invent(world)

    report = run(world, one_node(world))

    assert (report.late_logs, report.wrong_logs) == (0, 1)
    assert world.state() == everything


def test_one_node_that_leaves_a_log_out_of_its_ranges_only_drops_nothing(
    world: World, first: BentNode
) -> None:
    three_stakes(world)
    everything = world.state()
    first.bend = without(JOINED, by_hash=False)

    report = run(world, ChainReader(Rpc(first.url, retries=0)))

    assert report.wrong_logs == 0
    assert world.state() == everything
    assert watermarks(world) == {checkpoint(world)}


def test_one_node_whose_logs_do_not_make_the_bloom_drops_nothing_and_is_reported(
    world: World, first: BentNode
) -> None:
    three_stakes(world)
    everything = world.state()
    first.bend = without(JOINED)

    report = run(world, ChainReader(Rpc(first.url, retries=0)))

    assert report.wrong_logs == 0
    assert world.state() == everything
    assert len(report.disputed) == 1
    assert "do not make the header's bloom" in report.disputed[0]
    (joined,) = world.rows(
        "select min(block_number) as n from pipeline.chain_logs where event = 'ChallengePay.Joined'"
    )
    assert watermarks(world) == {joined["n"] - 1}, "up to the block, not past it"


def test_one_node_that_blanks_the_blooms_as_well_drops_nothing_and_is_reported(
    world: World, first: BentNode
) -> None:
    three_stakes(world)
    everything = world.state()
    first.bend = consistent_liar

    report = run(world, ChainReader(Rpc(first.url, retries=0)))

    assert report.wrong_logs == 0
    assert world.state() == everything
    assert len(report.disputed) == 1


def test_one_node_that_contradicts_itself_at_a_ranges_end_is_reported_with_the_block(
    world: World, first: BentNode
) -> None:
    alice, bob = world.funded("alice", "bob")
    challenge = world.client.create_challenge(alice)
    for _ in range(3):
        world.client.node.call("evm_mine")
    world.client.join(bob, challenge, ETH)
    world.follow()
    everything = world.state()
    last = checkpoint(world)
    first.bend = without(JOINED)
    reader = ChainReader(Rpc(first.url, retries=0))

    assert look(world, reader).waiting
    report = run(world, reader)

    assert world.state() == everything
    assert watermarks(world) == {last - 1}, "what lies below the block passes"
    assert len(report.disputed) == 1
    assert f"block {last}: endpoint 1-" in report.disputed[0]
    assert problems(world) == report.disputed
    assert not look(world, reader).waiting
    first.bend = lambda method, params, result: result
    run(world, reader)
    assert (watermarks(world), problems(world)) == ({last}, [])


def test_a_late_log_is_added_on_a_chain_that_fills_no_blooms(
    world: World, first: BentNode, second: BentNode
) -> None:
    three_stakes(world)
    everything = world.state()
    forget(world, "ChallengePay.Joined")
    first.bend = second.bend = denying("0x")

    assert run(world, two_nodes(first, second)).late_logs == 2
    assert world.state() == everything


# ── Two nodes ───────────────────────────────────────────────────────────────────────────────


def test_the_second_reading_is_another_nodes(
    world: World, first: BentNode, second: BentNode
) -> None:
    three_stakes(world)

    assert not look(world, two_nodes(first, second)).waiting

    assert "eth_getLogs" in second.asked
    assert "eth_getLogs" not in first.asked


@pytest.mark.parametrize("by_hash", [False, True])
def test_a_lying_second_node_deletes_no_true_log(
    world: World, first: BentNode, second: BentNode, by_hash: bool
) -> None:
    three_stakes(world)
    everything = world.state()
    second.bend = without(JOINED, by_hash=by_hash)

    report = run(world, two_nodes(first, second))

    assert (report.late_logs, report.wrong_logs) == (0, 0)
    assert world.state() == everything
    # It contradicts its own bloom, or itself: what is stored needs no better witness.
    assert watermarks(world) == {checkpoint(world)}
    assert problems(world) == []


def test_two_nodes_that_differ_change_nothing_hold_the_watermark_and_name_the_block(
    world: World, first: BentNode, second: BentNode
) -> None:
    alice, bob = world.funded("alice", "bob")
    challenge = world.client.create_challenge(alice)
    world.follow()
    run(world, one_node(world))
    world.client.join(bob, challenge, ETH)
    for _ in range(3):
        world.client.node.call("evm_mine")
    world.follow()
    everything = world.state()
    second.bend = consistent_liar
    (joined,) = world.rows(
        "select block_number as n, block_hash from pipeline.chain_logs"
        " where event = 'ChallengePay.Joined'"
    )

    report = run(world, two_nodes(first, second))

    assert world.state() == everything
    assert watermarks(world) == {joined["n"] - 1}
    assert len(report.disputed) == 1
    assert f"block {joined['n']} ({joined['block_hash']})" in report.disputed[0]
    assert problems(world) == report.disputed
    # The node is mended: the next reading passes and the problem is gone.
    second.bend = lambda method, params, result: result
    assert run(world, two_nodes(first, second)).disputed == []
    assert watermarks(world) == {checkpoint(world)}
    assert problems(world) == []


def test_a_log_that_only_the_second_node_has_is_not_added(
    world: World, first: BentNode, second: BentNode
) -> None:
    three_stakes(world)
    everything = world.state()

    def invented(method: str, params: list[Any], result: Any) -> Any:
        if method != "eth_getLogs":
            return result
        return [
            one
            for log in result
            for one in [log, log | {"logIndex": hex(int(log["logIndex"], 16) + 50)}]
        ]

    second.bend = invented
    report = run(world, two_nodes(first, second))

    assert world.state() == everything
    assert (report.late_logs, len(report.disputed)) == (0, 1)


def test_a_late_log_is_added_when_both_nodes_have_it(
    world: World, first: BentNode, second: BentNode
) -> None:
    three_stakes(world)
    everything = world.state()
    forget(world, "ChallengePay.Joined")

    report = run(world, two_nodes(first, second))

    assert report.late_logs == 2
    assert world.state() == everything


def test_a_late_log_is_not_added_while_the_first_node_leaves_it_out(
    world: World, first: BentNode, second: BentNode
) -> None:
    three_stakes(world)
    forget(world, "ChallengePay.Joined")
    lacking = world.state()
    first.bend = consistent_liar

    report = run(world, two_nodes(first, second))

    assert world.state() == lacking
    assert len(report.disputed) == 1


def test_a_wrong_log_goes_when_both_nodes_show_the_block_without_it(
    world: World, first: BentNode, second: BentNode
) -> None:
    three_stakes(world)
    everything = world.state()
    invent(world)

    assert run(world, two_nodes(first, second)).wrong_logs == 1
    assert world.state() == everything


def test_a_wrong_log_waits_for_the_second_node_when_that_one_is_away(
    world: World, first: BentNode, second: BentNode
) -> None:
    three_stakes(world)
    everything = world.state()
    invented = invent(world)
    second.down = True

    report = run(world, two_nodes(first, second))

    assert report.wrong_logs == 0
    assert world.state() == invented
    assert "second endpoint" in report.disputed[0]
    second.down = False
    assert run(world, two_nodes(first, second)).wrong_logs == 1
    assert world.state() == everything


def test_while_the_second_node_is_away_the_first_one_reads_again(
    world: World, first: BentNode, second: BentNode
) -> None:
    three_stakes(world)
    second.down = True

    report = run(world, two_nodes(first, second))

    assert watermarks(world) == {checkpoint(world)}
    assert [label[0] for label in report.read_from] == ["1"]


def test_one_of_two_that_contradicts_itself_in_ranges_is_still_asked_by_hash(
    world: World, first: BentNode, second: BentNode
) -> None:
    three_stakes(world)
    everything = world.state()
    invent(world)

    def torn(method: str, params: list[Any], result: Any) -> Any:
        if method != "eth_getLogs" or "blockHash" in params[0]:
            return result
        return [log | {"blockHash": "0x" + "ab" * 32} for log in result]

    first.bend = torn

    report = run(world, two_nodes(first, second))

    assert (report.wrong_logs, report.disputed) == (1, [])
    assert world.state() == everything


def test_a_node_on_another_fork_is_reported_and_passes_nothing(
    world: World, first: BentNode, second: BentNode
) -> None:
    three_stakes(world)

    def forked(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getBlockByNumber" and int(result["number"], 16) == checkpoint(world):
            return result | {"hash": "0x" + "ab" * 32}
        if method == "eth_getLogs":
            return [log for log in result if int(log["blockNumber"], 16) != checkpoint(world)]
        return result

    second.bend = forked
    before = watermarks(world)
    report = run(world, two_nodes(first, second))

    assert "they follow different chains" in report.disputed[0]
    assert watermarks(world) in (before, {world.policy.start_block - 1})


def test_a_disputed_block_is_left_alone_by_looks_for_a_while(
    world: World, first: BentNode, second: BentNode
) -> None:
    three_stakes(world)
    second.bend = consistent_liar
    run(world, two_nodes(first, second))

    paused = look(world, two_nodes(first, second))
    assert not paused.waiting
    assert "logs are stored" in paused.reason
    assert look(world, two_nodes(first, second), pause_s=0.0).waiting


# ── Streams ─────────────────────────────────────────────────────────────────────────────────


def test_a_contract_added_later_has_its_history_read_by_itself(world: World) -> None:
    without_treasury = replace(
        world.policy,
        addresses={
            role: address for role, address in world.policy.addresses.items() if role != "treasury"
        },
    )
    alice, bob = world.funded("alice", "bob")
    client = world.client
    challenge = client.create_challenge(alice, stake=ETH)
    client.join(bob, challenge, ETH)
    client.cancel(alice, challenge)
    client.claim_refund(bob, challenge)
    client.claim_eth(bob, challenge)
    world.follow(policy=without_treasury)
    run(world, one_node(world), policy=without_treasury)
    before = len(world.table("pipeline.chain_logs"))

    report = run(world, one_node(world))

    assert report.history_logs > 0
    assert (report.late_logs, report.wrong_logs) == (0, 0)
    assert len(world.table("pipeline.chain_logs")) == before + report.history_logs
    types = {row["claim_type"] for row in world.table("public.claims")}
    assert "treasury_eth" in types
    assert watermarks(world) == {checkpoint(world)}


def test_an_event_added_to_the_registry_starts_its_contract_again(world: World) -> None:
    three_stakes(world)
    run(world, one_node(world))
    world.run(
        "update pipeline.verified_streams set topics_hash = 'of fewer events'"
        " where role = 'challengepay'"
    )
    forget(world, "ChallengePay.Joined")

    report = run(world, one_node(world))

    assert (report.history_logs, report.late_logs) == (2, 0)
    assert {row["block_number"] for row in world.rows(CURRENT)} == {checkpoint(world)}


CURRENT = "select block_number from pipeline.verified_streams where topics_hash !~ 'fewer'"


def test_streams_with_one_watermark_are_read_in_one_request(world: World, first: BentNode) -> None:
    three_stakes(world)
    look(world, ChainReader(Rpc(first.url)))
    assert first.asked.count("eth_getLogs") == 1


# ── Reorgs and races ────────────────────────────────────────────────────────────────────────


def test_a_reorg_below_the_watermark_takes_it_back_with_the_blocks(world: World) -> None:
    alice, bob = world.funded("alice", "bob")
    challenge = world.client.create_challenge(alice)
    node = world.client.node
    fork = node.call("evm_snapshot")
    base = int(node.call("eth_blockNumber"), 16)
    world.client.join(bob, challenge, ETH)
    world.follow()
    look(world, one_node(world))
    assert watermarks(world) == {checkpoint(world)}
    node.call("evm_revert", fork)
    world.client.travel(11)
    for _ in range(3):
        node.call("evm_mine")
    seen: list[set[int]] = []

    world.follow(heartbeat=lambda: seen.append(watermarks(world)))

    assert max(watermarks(world)) <= base + 1
    assert not look(world, one_node(world)).waiting
    assert watermarks(world) == {checkpoint(world)}


def test_a_watermark_that_a_reorg_took_back_meanwhile_is_not_moved(world: World) -> None:
    three_stakes(world)
    look(world, one_node(world))
    world.client.node.call("evm_mine")
    world.follow()

    class Racing(ChainReader):
        def blocks_and_logs(self, *arguments: Any) -> Any:
            world.run(
                "update pipeline.verified_streams set block_number = block_number - 1"
                " where role = 'challengepay'"
            )
            return super().blocks_and_logs(*arguments)

    with pytest.raises(verify.WatermarkMoved, match="counts not"):
        run(world, Racing(Rpc(world.deployment.rpc_url)))


def test_a_killed_repair_leaves_logs_and_watermark_as_they_were(world: World) -> None:
    three_stakes(world)
    forget(world, "ChallengePay.Joined")
    before = world.state()
    # Stopped by the last statement of the transaction: the findings cannot be written.
    world.run("alter table pipeline.verification_findings add constraint no check (log_index < 0)")

    with pytest.raises(Exception, match="no"):
        run(world, one_node(world))

    assert world.state() == before
    assert watermarks(world) == {world.policy.start_block - 1}


def test_a_long_backlog_is_a_runs_work_and_a_refused_range_is_halved(
    world: World, first: BentNode
) -> None:
    three_stakes(world)
    world.client.node.call("anvil_mine", "0x300")
    world.follow()
    assert look(world, one_node(world)).waiting
    beats: list[int] = []

    report = run(
        world,
        one_node(world),
        policy=replace(world.policy, max_block_range=300),
        heartbeat=lambda: beats.append(min(watermarks(world) or {0})),
    )

    assert report.verified == checkpoint(world)
    assert report.remaining_blocks == 0
    assert sorted(beats) == beats
    assert len(beats) > 3


def test_a_range_that_is_refused_is_halved_and_remembered_for_the_endpoint(
    world: World, first: BentNode
) -> None:
    three_stakes(world)
    world.client.node.call("anvil_mine", "0x300")
    world.follow()
    first.most_blocks = 200

    report = run(world, ChainReader(Rpc(first.url, retries=0)))

    assert report.verified == checkpoint(world)
    assert report.splits == 2
    (known,) = world.rows(
        "select range_blocks, range_refused from pipeline.rpc_endpoints"
        " where (counts ->> 'range_refused')::int > 0"
    )
    assert known["range_blocks"] < known["range_refused"] == 398
    world.run("delete from pipeline.verified_streams")
    again = run(world, ChainReader(Rpc(first.url, retries=0)))
    assert again.blocks == report.blocks
    assert again.splits <= 1, "no more than the trial of a little more that grew meanwhile"

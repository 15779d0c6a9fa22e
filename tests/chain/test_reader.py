"""Blocks and logs of a real node, and what is made of refusals."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from lightchallenge_dagster.chain.reader import (
    BadAnswer,
    ChainMoved,
    ChainReader,
    NotThereYet,
    RangeRefused,
)
from lightchallenge_dagster.chain.rpc import Rpc, RpcError
from lightchallenge_dagster.rules.events import bloom_of, may_contain, topic_of, topics_for
from tests.steps.lying_node import LyingNode, Params, Refusal, bent


@pytest.fixture
def node(anvil: Any) -> Iterator[LyingNode]:
    with LyingNode(anvil.url).serving() as lying:
        yield lying


def test_headers_come_in_one_request_and_link(anvil: Any) -> None:
    anvil.mine(20)
    rpc = Rpc(anvil.url)
    reader = ChainReader(rpc)
    head = reader.head()

    headers = reader.blocks(range(head.number - 10, head.number + 1))

    assert rpc.calls == 2
    assert headers[head.number] == head
    assert all(headers[n].parent_hash == headers[n - 1].hash for n in list(headers)[1:])
    assert reader.chain_id() == 504


def test_a_block_the_node_does_not_have_is_an_error_or_left_out(anvil: Any) -> None:
    reader = ChainReader(Rpc(anvil.url))
    missing = reader.head().number + 5
    with pytest.raises(BadAnswer, match=f"does not have block {missing}"):
        reader.blocks([0, missing])
    with pytest.raises(BadAnswer, match="does not have block"):
        reader.block(missing)
    assert reader.known_blocks([0, missing]).keys() == {0}
    latest = reader.latest([missing])
    assert (latest.head.number, latest.found) == (missing - 5, {})


@pytest.mark.parametrize(("most", "first", "then"), [(1, 2 + 4, 2), (2, 1 + 2, 1), (100, 1, 1)])
def test_a_batch_that_is_refused_is_made_smaller_down_to_single_calls(
    anvil: Any, node: LyingNode, most: int, first: int, then: int
) -> None:
    anvil.mine(3)
    node.most_at_once = most
    reader = ChainReader(Rpc(node.url))
    assert reader.blocks([0, 1, 2, 3]).keys() == {0, 1, 2, 3}
    assert node.requests == first
    assert reader.blocks([0, 1]).keys() == {0, 1}
    assert node.requests == first + then


def test_logs_of_many_contracts_come_in_one_request_and_make_the_header_blooms(
    devnet: Any,
) -> None:
    rpc = Rpc(devnet.rpc_url)
    reader = ChainReader(rpc)
    head = reader.head().number
    addresses = [devnet.challengepay, devnet.treasury, devnet.task_registry]
    calls = rpc.calls

    logs = reader.logs(addresses, topics_for(["challengepay"]), 0, head)

    assert rpc.calls == calls + 1
    assert [log.topics[0] for log in logs].count(topic_of("ChallengePay.DispatcherSet")) >= 2
    assert logs == sorted(logs, key=lambda log: (log.block_number, log.log_index))
    for log in logs:
        block = reader.block(log.block_number)
        assert log.block_hash == block.hash
        assert may_contain(block.logs_bloom, log.address, [log.topics[0]])
        assert bloom_of(reader.block_logs(block)) == int(block.logs_bloom, 16)


NOBODY = ["0x" + "11" * 20]
JOINED = [topic_of("ChallengePay.Joined")]


@pytest.mark.parametrize(
    ("message", "code", "suggestion"),
    [
        ("query returned more than 10000 results", -32005, None),
        ("block range too large", -32000, None),
        ("eth_getLogs is limited to a 5 blocks range", -32602, 5),
        ("Query returned more than 10 results. Try with this block range [0x0, 0x3].", -32005, 4),
    ],
)
def test_a_refused_range_asks_for_less_and_knows_what_the_node_proposes(
    node: LyingNode, message: str, code: int, suggestion: int | None
) -> None:
    def refuse(answer: Any) -> Any:
        raise Refusal(message, code)

    node.lie = bent("eth_getLogs", refuse)
    reader = ChainReader(Rpc(node.url))
    with pytest.raises(RangeRefused, match="blocks 0 to 9") as refused:
        reader.logs(NOBODY, JOINED, 0, 9)
    assert (refused.value.asked, refused.value.suggestion) == (10, suggestion)


def test_a_timeout_is_a_refused_range(anvil: Any, node: LyingNode) -> None:
    held = threading.Event()
    anvil.mine(10)

    def dawdle(method: str, params: Params, truth: Any) -> Any:
        if method == "eth_getLogs":
            held.wait(5)
        return truth()

    node.lie = dawdle
    reader = ChainReader(Rpc(node.url, 0.2, retries=0))
    with pytest.raises(RangeRefused, match="blocks 0 to 9"):
        reader.blocks_and_logs([9], NOBODY, JOINED, 0, 9)
    held.set()


def test_any_other_error_is_passed_on(node: LyingNode) -> None:
    def fail(answer: Any) -> Any:
        raise Refusal("method not found", -32601)

    node.lie = bent("eth_getLogs", fail)
    reader = ChainReader(Rpc(node.url))
    with pytest.raises(RpcError, match="method not found"):
        reader.logs(NOBODY, JOINED, 0, 9)


def test_a_range_and_its_last_header_come_in_one_request(anvil: Any, node: LyingNode) -> None:
    anvil.mine(10)
    reader = ChainReader(Rpc(node.url))
    headers, logs = reader.blocks_and_logs([0, 9], NOBODY, JOINED, 0, 9)
    assert (headers.keys(), logs, node.requests) == ({0, 9}, [], 1)
    with pytest.raises(NotThereYet, match="does not have block 99999 yet"):
        reader.blocks_and_logs([0, 99999], NOBODY, JOINED, 0, 99999)


def test_a_hash_that_the_node_does_not_know_is_a_block_that_it_lacks(node: LyingNode) -> None:
    reader = ChainReader(Rpc(node.url))
    nowhere = replace(reader.head(), hash="0x" + "ab" * 32)

    def forget(answer: Any) -> Any:
        raise Refusal("unknown block")

    node.lie = bent("eth_getLogs", forget)
    with pytest.raises(NotThereYet, match="unknown block"):
        reader.logs_of([nowhere])


def test_where_the_chain_has_no_finality_the_question_is_not_asked_twice(
    anvil: Any, node: LyingNode
) -> None:
    def lie(method: str, params: Params, truth: Any) -> Any:
        if params[:1] == ["finalized"]:
            raise Refusal("finalized block not found", -39001)
        return truth()

    reader = ChainReader(Rpc(node.url))
    known = reader.latest([0])
    assert known.finalized is not None and known.found.keys() == {0}
    node.lie = lie
    assert reader.latest([0]).finalized is None
    asked = node.requests
    assert reader.latest([0]) == replace(known, finalized=None)
    assert node.requests == asked + 1
    null = ChainReader(Rpc(node.url))

    def without(method: str, params: Params, truth: Any) -> Any:
        return None if params[:1] == ["finalized"] else truth()

    node.lie = without
    assert null.latest([]).finalized is None


def test_parts_of_one_question_answered_by_two_endpoints_are_not_put_together(
    anvil: Any, node: LyingNode
) -> None:
    anvil.mine(10)
    node.most_at_once = 1

    def fail(method: str, params: Params, truth: Any) -> Any:
        if method == "eth_getLogs":
            raise OSError("cut")
        return truth()

    node.lie = fail
    reader = ChainReader(Rpc([node.url, anvil.url]))
    with pytest.raises(ChainMoved, match="answered parts of one question"):
        reader.blocks_and_logs([9], NOBODY, JOINED, 0, 9)

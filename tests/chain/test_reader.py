"""Blocks and logs of a real node, and what is made of refusals."""

from __future__ import annotations

from typing import Any

import pytest

from lightchallenge_dagster.chain.reader import BadAnswer, ChainReader, RangeRefused
from lightchallenge_dagster.chain.rpc import Rpc, RpcError, RpcTimeout
from lightchallenge_dagster.rules.events import bloom_of, may_contain, topic_of, topics_for


class Refusing(Rpc):
    """The real node, except for the errors it gives to some methods."""

    def __init__(self, url: str, errors: dict[str, Exception]) -> None:
        super().__init__(url)
        self.errors = errors

    def call(self, method: str, params: Any = ()) -> Any:
        if method in self.errors:
            raise self.errors[method]
        return super().call(method, params)

    def batch(self, calls: Any) -> list[Any]:
        if "batch" in self.errors:
            raise self.errors["batch"]
        return super().batch(calls)


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
    head, found = reader.head_and([missing])
    assert (head.number, found) == (missing - 5, {})


def test_a_node_that_refuses_batches_is_asked_one_by_one(anvil: Any) -> None:
    anvil.mine(3)
    rpc = Refusing(anvil.url, {"batch": RpcError("a batch of 3", -32600, "batch not supported")})
    reader = ChainReader(rpc)
    assert reader.blocks([0, 1, 2]).keys() == {0, 1, 2}
    rpc.errors.clear()
    assert reader.blocks([0, 1]).keys() == {0, 1}
    assert rpc.calls == 5


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


@pytest.mark.parametrize(
    "error",
    [
        RpcError("eth_getLogs", -32005, "query returned more than 10000 results"),
        RpcError("eth_getLogs", -32000, "block range too large"),
        RpcTimeout("eth_getLogs: no answer in 20 s"),
    ],
)
def test_a_refused_range_asks_for_less(anvil: Any, error: Exception) -> None:
    reader = ChainReader(Refusing(anvil.url, {"eth_getLogs": error}))
    with pytest.raises(RangeRefused, match="blocks 0 to 9"):
        reader.logs(["0x" + "11" * 20], [topic_of("ChallengePay.Joined")], 0, 9)


def test_any_other_error_is_passed_on(anvil: Any) -> None:
    error = RpcError("eth_getLogs", -32601, "method not found")
    reader = ChainReader(Refusing(anvil.url, {"eth_getLogs": error}))
    with pytest.raises(RpcError, match="method not found"):
        reader.logs(["0x" + "11" * 20], [topic_of("ChallengePay.Joined")], 0, 9)

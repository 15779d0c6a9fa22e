"""Blocks and logs from a node, checked before anyone believes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from lightchallenge_dagster.chain.rpc import Rpc, RpcError, RpcTimeout, RpcUnavailable
from lightchallenge_dagster.rules.events import RawLog
from lightchallenge_dagster.rules.ranges import is_range_refusal
from lightchallenge_dagster.rules.reorg import Block

__all__ = ["BadAnswer", "Block", "ChainReader", "RangeRefused", "RawLog"]

_HASH = re.compile(r"^0x[0-9a-f]{64}$")
_ADDRESS = re.compile(r"^0x[0-9a-f]{40}$")
_BLOOM = re.compile(r"^0x[0-9a-f]{512}$")
_QUANTITY = re.compile(r"^0x[0-9a-f]+$")
_DATA = re.compile(r"^0x([0-9a-f]{2})*$")
_BATCH = 100


class BadAnswer(RpcUnavailable):
    """The node answered, but the answer contradicts itself or what the node said before."""


class RangeRefused(RpcUnavailable):
    """The node will not serve this many blocks at once: ask for fewer."""


class ChainReader:
    """Reads headers and logs through ``rpc``; every answer is checked for shape and consistency."""

    def __init__(self, rpc: Rpc) -> None:
        self.rpc = rpc
        self._batches = True

    def chain_id(self) -> int:
        """The chain's id (504 on LightChain testnet)."""
        return _quantity(self.rpc.call("eth_chainId"), "eth_chainId")

    def head(self) -> Block:
        """The newest block the node knows."""
        return self._block_at("latest")

    def block(self, number: int) -> Block:
        """One header. Raises ``BadAnswer`` when the node does not have the block."""
        return self._block_at(hex(number))

    def head_and(self, numbers: Sequence[int]) -> tuple[Block, dict[int, Block]]:
        """The newest block and, in the same request, those of ``numbers`` that the node has."""
        answers = self._many(
            [("eth_getBlockByNumber", ["latest", False])]
            + [("eth_getBlockByNumber", [hex(number), False]) for number in numbers]
        )
        head = _block(answers[0], "latest")
        return head, self._present(numbers, answers[1:])

    def blocks(self, numbers: Iterable[int]) -> dict[int, Block]:
        """Headers by number, asked for in batches.

        Raises ``BadAnswer`` when the node does not have one of them.
        """
        wanted = list(numbers)
        found = self.known_blocks(wanted)
        for number in wanted:
            if number not in found:
                raise BadAnswer(f"the node does not have block {number} yet")
        return found

    def known_blocks(self, numbers: Iterable[int]) -> dict[int, Block]:
        """As ``blocks``, without those that the node does not have."""
        wanted = list(numbers)
        found: dict[int, Block] = {}
        for at in range(0, len(wanted), _BATCH):
            part = wanted[at : at + _BATCH]
            answers = self._many([("eth_getBlockByNumber", [hex(n), False]) for n in part])
            found |= self._present(part, answers)
        return found

    def logs(
        self, addresses: Sequence[str], topics: Sequence[str], from_block: int, to_block: int
    ) -> list[RawLog]:
        """All logs of ``addresses`` with one of ``topics`` first, in one ``eth_getLogs``.

        Ordered by block and log index. Raises ``RangeRefused`` when the node wants a smaller
        range (a timeout counts as that), ``BadAnswer`` for logs that nobody asked for, that were
        removed, that come twice or that contradict each other, and ``RpcError`` for any other
        error: never an empty list in place of an answer.
        """
        query = {
            "address": list(addresses),
            "topics": [list(topics)],
            "fromBlock": hex(from_block),
            "toBlock": hex(to_block),
        }
        span = f"blocks {from_block} to {to_block}"
        try:
            answer = self.rpc.call("eth_getLogs", [query])
        except RpcTimeout as error:
            raise RangeRefused(f"eth_getLogs for {span}: {error}") from error
        except RpcError as error:
            if is_range_refusal(error.code, error.message):
                raise RangeRefused(f"eth_getLogs for {span}: {error}") from error
            raise
        logs = _logs(answer, span)
        wanted_addresses, wanted_topics = set(addresses), set(topics)
        for log in logs:
            if not from_block <= log.block_number <= to_block:
                raise BadAnswer(f"eth_getLogs for {span} returned block {log.block_number}")
            if (
                log.address not in wanted_addresses
                or log.topics[:1] == ()
                or log.topics[0] not in wanted_topics
            ):
                raise BadAnswer(
                    f"eth_getLogs for {span} returned a log of {log.address} that was not asked for"
                )
        return logs

    def block_logs(self, block: Block) -> list[RawLog]:
        """Every log of one block, of all contracts, by the block's hash."""
        answer = self.rpc.call("eth_getLogs", [{"blockHash": block.hash}])
        return _logs(answer, f"block {block.hash}")

    def _block_at(self, tag: str) -> Block:
        answer = self.rpc.call("eth_getBlockByNumber", [tag, False])
        if answer is None:
            raise BadAnswer(f"the node does not have block {tag} yet")
        block = _block(answer, tag)
        if tag != "latest" and block.number != int(tag, 16):
            raise BadAnswer(f"asked for block {int(tag, 16)}, the node sent {block.number}")
        return block

    def _present(self, numbers: Sequence[int], answers: Sequence[Any]) -> dict[int, Block]:
        found: dict[int, Block] = {}
        for number, answer in zip(numbers, answers, strict=True):
            if answer is None:
                continue
            block = _block(answer, str(number))
            if block.number != number:
                raise BadAnswer(f"asked for block {number}, the node sent {block.number}")
            found[number] = block
        return found

    def _many(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        if self._batches and len(calls) > 1:
            try:
                return self.rpc.batch(calls)
            except RpcError as error:
                if error.method in {method for method, _ in calls}:
                    raise
                # This endpoint refuses batches as such; one by one, then.
                self._batches = False
        return [self.rpc.call(method, params) for method, params in calls]


def _quantity(value: Any, where: str) -> int:
    if not isinstance(value, str) or not _QUANTITY.match(value):
        raise BadAnswer(f"{where} is not a hexadecimal number")
    return int(value, 16)


def _hex(value: Any, pattern: re.Pattern[str], where: str) -> str:
    text = value.lower() if isinstance(value, str) else ""
    if not pattern.match(text):
        raise BadAnswer(f"{where} is missing or malformed")
    return text


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadAnswer(f"{where} is not an object")
    return cast("dict[str, Any]", value)


def _block(value: Any, tag: str) -> Block:
    where = f"block {tag}"
    fields = _object(value, where)
    return Block(
        number=_quantity(fields.get("number"), f"{where}: number"),
        hash=_hex(fields.get("hash"), _HASH, f"{where}: hash"),
        parent_hash=_hex(fields.get("parentHash"), _HASH, f"{where}: parentHash"),
        timestamp=_quantity(fields.get("timestamp"), f"{where}: timestamp"),
        logs_bloom=_hex(fields.get("logsBloom"), _BLOOM, f"{where}: logsBloom"),
    )


def _logs(answer: Any, span: str) -> list[RawLog]:
    if not isinstance(answer, list):
        raise BadAnswer(f"eth_getLogs for {span} did not return a list")
    logs = [_log(entry, span) for entry in cast("list[Any]", answer)]
    logs.sort(key=lambda log: (log.block_number, log.log_index))
    hashes: dict[int, str] = {}
    last: RawLog | None = None
    for log in logs:
        if hashes.setdefault(log.block_number, log.block_hash) != log.block_hash:
            raise BadAnswer(f"eth_getLogs for {span}: two hashes for block {log.block_number}")
        if last is not None and last.block_number == log.block_number:
            if last.log_index == log.log_index:
                raise BadAnswer(
                    f"eth_getLogs for {span}: log {log.log_index} of block"
                    f" {log.block_number} came twice"
                )
            if last.tx_index > log.tx_index:
                raise BadAnswer(
                    f"eth_getLogs for {span}: logs of block {log.block_number} are numbered"
                    " against the order of their transactions"
                )
        last = log
    return logs


def _log(value: Any, span: str) -> RawLog:
    where = f"a log of {span}"
    fields = _object(value, where)
    if fields.get("removed"):
        raise BadAnswer(f"{where} is marked removed: the chain is moving, read again")
    topics = fields.get("topics")
    if not isinstance(topics, list):
        raise BadAnswer(f"{where} has no topics")
    return RawLog(
        block_number=_quantity(fields.get("blockNumber"), f"{where}: blockNumber"),
        block_hash=_hex(fields.get("blockHash"), _HASH, f"{where}: blockHash"),
        tx_hash=_hex(fields.get("transactionHash"), _HASH, f"{where}: transactionHash"),
        tx_index=_quantity(fields.get("transactionIndex"), f"{where}: transactionIndex"),
        log_index=_quantity(fields.get("logIndex"), f"{where}: logIndex"),
        address=_hex(fields.get("address"), _ADDRESS, f"{where}: address"),
        topics=tuple(_hex(topic, _HASH, f"{where}: topic") for topic in cast("list[Any]", topics)),
        data=_hex(fields.get("data"), _DATA, f"{where}: data"),
    )

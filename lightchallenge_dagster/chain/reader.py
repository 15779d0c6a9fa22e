"""Blocks and logs from a node, checked before anyone believes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from lightchallenge_dagster.chain import wire
from lightchallenge_dagster.chain.failures import BAD_ANSWER, RANGE_REFUSED, TRUNCATED
from lightchallenge_dagster.chain.rpc import (
    Rpc,
    RpcError,
    RpcTimeout,
    RpcTooLarge,
    RpcUnavailable,
)
from lightchallenge_dagster.rules.events import RawLog
from lightchallenge_dagster.rules.ranges import is_range_refusal, is_unknown_block, suggested_blocks
from lightchallenge_dagster.rules.reorg import Block

__all__ = [
    "BadAnswer",
    "Block",
    "ChainMoved",
    "ChainReader",
    "Latest",
    "NotThereYet",
    "RangeRefused",
    "RawLog",
    "Truncated",
]

BEHIND = "behind"
"""How an endpoint that lacks a block it should have is counted."""

_T = TypeVar("_T")
_Call = tuple[str, Sequence[Any]]
_BATCH = 100


class BadAnswer(RpcUnavailable):
    """The node answered, but the answer contradicts itself or what the node said before."""

    def __init__(self, message: str, *, kind: str = BAD_ANSWER) -> None:
        super().__init__(message, kind=kind)


class NotThereYet(BadAnswer):
    """The node does not have a block that the chain has, or not any more: it lags."""

    def __init__(self, message: str) -> None:
        super().__init__(message, kind=BEHIND)


class Truncated(BadAnswer):
    """The node left out logs of a range of ``asked`` blocks that it returns when asked for less."""

    def __init__(self, message: str, *, asked: int) -> None:
        super().__init__(message, kind=TRUNCATED)
        self.asked = asked


class ChainMoved(BadAnswer):
    """The chain changed while it was read: what was read is thrown away, read again."""


class RangeRefused(RpcUnavailable):
    """The node will not serve this many blocks at once: ask for fewer.

    ``asked`` is how many were asked for, ``suggestion`` how many the node would serve, if it said.
    """

    def __init__(self, message: str, *, asked: int, suggestion: int | None = None) -> None:
        super().__init__(message, kind=RANGE_REFUSED)
        self.asked = asked
        self.suggestion = suggestion

    @property
    def late(self) -> bool:
        """Whether the node said nothing in time, which to ask for less may not help."""
        return isinstance(self.__cause__, RpcTimeout)


@dataclass(frozen=True, slots=True)
class Latest:
    """What a node says of the chain's end, in one answer.

    ``finalized`` is the newest block that is final, None where the chain does not tell. ``found``
    holds the other headers asked for that the node has, by number.
    """

    head: Block
    finalized: Block | None
    found: Mapping[int, Block]


class ChainReader:
    """Reads headers and logs through ``rpc``; every answer is checked for shape and consistency.

    Raises ``BadAnswer`` and its kinds for an answer that cannot be true, ``RpcError`` for one that
    is an error, ``RpcUnavailable`` when there is none.
    """

    def __init__(self, rpc: Rpc) -> None:
        self.rpc = rpc
        self._at_once = _BATCH
        self._finality = True

    def chain_id(self) -> int:
        """The chain's id (504 on LightChain testnet)."""
        answer = self.rpc.call("eth_chainId")
        try:
            return int(answer, 16)
        except (TypeError, ValueError):
            raise BadAnswer("eth_chainId is not a hexadecimal number") from None

    def head(self) -> Block:
        """The newest block the node knows."""
        return self._headers(["latest"])[0] or _lacks("latest")

    def latest(self, numbers: Sequence[int]) -> Latest:
        """The newest block, the newest final one and those of ``numbers``, in one request."""
        tags = ["latest", "finalized"] if self._finality else ["latest"]
        try:
            answers = self._headers([*tags, *map(hex, numbers)])
        except RpcError:
            if not self._finality:
                raise
            # Some chains have no finality, and their nodes call the question an error.
            self._finality = False
            return self.latest(numbers)
        head = answers[0] or _lacks("latest")
        finalized = answers[1] if self._finality else None
        if finalized is not None and finalized.number > head.number:
            finalized = None
        return Latest(head, finalized, _present(numbers, answers[len(tags) :]))

    def block(self, number: int) -> Block:
        """One header. Raises ``NotThereYet`` when the node does not have the block."""
        return self.blocks([number])[number]

    def blocks(self, numbers: Iterable[int]) -> dict[int, Block]:
        """Headers by number, asked for in batches.

        Raises ``NotThereYet`` when the node does not have one of them.
        """
        wanted = list(numbers)
        return _all_of(wanted, self.known_blocks(wanted))

    def known_blocks(self, numbers: Iterable[int]) -> dict[int, Block]:
        """As ``blocks``, without those that the node does not have."""
        wanted = list(numbers)
        return _present(wanted, self._headers([hex(number) for number in wanted]))

    def logs(
        self, addresses: Sequence[str], topics: Sequence[str], from_block: int, to_block: int
    ) -> list[RawLog]:
        """All logs of ``addresses`` with one of ``topics`` first, in one ``eth_getLogs``.

        Ordered by block and log index. Raises ``RangeRefused`` when the node wants a smaller
        range (a timeout counts as that), ``BadAnswer`` for logs that nobody asked for, that come
        twice or that contradict each other, ``ChainMoved`` for removed ones: never an empty list
        in place of an answer.
        """
        return self._range([], addresses, topics, from_block, to_block)[1]

    def blocks_and_logs(
        self,
        numbers: Sequence[int],
        addresses: Sequence[str],
        topics: Sequence[str],
        from_block: int,
        to_block: int,
    ) -> tuple[dict[int, Block], list[RawLog]]:
        """``logs`` and the headers of ``numbers``, which end with the range's last block.

        The headers come first, in the same request where the node takes batches, so that an
        empty answer is one of a node that has the whole range. Raises ``NotThereYet`` where it
        has not.
        """
        late = max(0, len(numbers) + 1 - max(2, self._at_once))
        headers = self.known_blocks(numbers[:late])
        found, logs = self._range(numbers[late:], addresses, topics, from_block, to_block)
        return _all_of(numbers, headers | found), logs

    def block_logs(self, block: Block) -> list[RawLog]:
        """Every log of one block, of all contracts, by the block's hash."""
        return self.logs_of([block])[block.number]

    def logs_of(
        self,
        blocks: Sequence[Block],
        addresses: Sequence[str] | None = None,
        topics: Sequence[str] | None = None,
    ) -> dict[int, list[RawLog]]:
        """The logs of each block by its hash, in batches: of ``addresses``, or of all contracts.

        With ``topics`` those that have one of them first. Raises ``NotThereYet`` when the node does
        not know one of the hashes (any more), ``RangeRefused`` when it wants to return less.
        """
        wanted = None if addresses is None else set(addresses)
        of: dict[str, Any] = {} if addresses is None else {"address": list(addresses)}
        expected = None if topics is None else set(topics)
        if topics is not None:
            of["topics"] = [list(topics)]
        calls = [("eth_getLogs", [{"blockHash": block.hash, **of}]) for block in blocks]
        spans = [f"block {block.number} ({block.hash})" for block in blocks]
        named = spans[0] if len(spans) == 1 else f"{len(spans)} blocks by hash"
        try:
            answers = self._many(calls)
        except (RpcTimeout, RpcTooLarge) as error:
            raise RangeRefused(f"eth_getLogs for {named}: {error}", asked=len(blocks)) from error
        except RpcError as error:
            if is_range_refusal(error.code, error.message):
                raise RangeRefused(
                    f"eth_getLogs for {named}: {error}", asked=len(blocks)
                ) from error
            if is_unknown_block(error.message):
                raise NotThereYet(f"one of {len(blocks)} blocks by hash: {error}") from error
            raise
        found: dict[int, list[RawLog]] = {}
        for block, span, raw in zip(blocks, spans, answers, strict=True):
            logs = _ordered(_parsed(wire.logs, raw, f"eth_getLogs for {span}"), span)
            for log in logs:
                if (log.block_number, log.block_hash) != (block.number, block.hash):
                    raise BadAnswer(f"eth_getLogs for {span} returned a log of {log.block_hash}")
                if wanted is not None and log.address not in wanted:
                    raise BadAnswer(_not_asked_for(span, log))
                if expected is not None and expected.isdisjoint(log.topics[:1]):
                    raise BadAnswer(_not_asked_for(span, log))
            found[block.number] = logs
        return found

    # ── how ──

    def _headers(self, tags: Sequence[str]) -> list[Block | None]:
        answers = self._many([("eth_getBlockByNumber", [tag, False]) for tag in tags])
        return [_block(tag, raw) for tag, raw in zip(tags, answers, strict=True)]

    def _range(
        self,
        numbers: Sequence[int],
        addresses: Sequence[str],
        topics: Sequence[str],
        first: int,
        last: int,
    ) -> tuple[dict[int, Block], list[RawLog]]:
        query = {
            "address": list(addresses),
            "topics": [list(topics)],
            "fromBlock": hex(first),
            "toBlock": hex(last),
        }
        span, asked = f"blocks {first} to {last}", last - first + 1
        calls: list[_Call] = [("eth_getBlockByNumber", [hex(n), False]) for n in numbers]
        calls.append(("eth_getLogs", [query]))
        try:
            *blocks, answer = self._many(calls, together=True)
        except (RpcTimeout, RpcTooLarge) as error:
            raise RangeRefused(f"eth_getLogs for {span}: {error}", asked=asked) from error
        except RpcError as error:
            if error.method == "eth_getLogs" and is_range_refusal(error.code, error.message):
                raise RangeRefused(
                    f"eth_getLogs for {span}: {error}",
                    asked=asked,
                    suggestion=suggested_blocks(error.message, first, last),
                ) from error
            raise
        headers = [_block(hex(number), raw) for number, raw in zip(numbers, blocks, strict=True)]
        logs = _ordered(_parsed(wire.logs, answer, f"eth_getLogs for {span}"), span)
        wanted_addresses, wanted_topics = set(addresses), set(topics)
        for log in logs:
            if not first <= log.block_number <= last:
                raise BadAnswer(f"eth_getLogs for {span} returned block {log.block_number}")
            if log.address not in wanted_addresses or wanted_topics.isdisjoint(log.topics[:1]):
                raise BadAnswer(_not_asked_for(span, log))
        return _present(numbers, headers), logs

    def _many(self, calls: Sequence[_Call], *, together: bool = False) -> list[msgspec.Raw]:
        """The raw results of several calls, in as few requests as the node allows.

        A batch that is refused as such is halved, down to calls one by one. ``together``: raises
        ``ChainMoved`` when it took several requests and another endpoint answered some of them.
        """
        answers: list[msgspec.Raw] = []
        asked: set[str] = set()
        while len(answers) < len(calls):
            part = calls[len(answers) : len(answers) + self._at_once]
            try:
                if len(part) == 1:
                    (method, params), *_ = part
                    answers.append(self.rpc.call(method, params, _raw))
                else:
                    answers += self.rpc.batch(part, _raw)
            except RpcError as error:
                if len(part) == 1 or error.method in {method for method, _ in part}:
                    raise
                self._at_once = len(part) // 2
                continue
            asked.add(self.rpc.endpoint.label)
        if together and len(asked) > 1:
            raise ChainMoved(
                f"endpoints {' and '.join(sorted(asked))} answered parts of one question, which may"
                " be of two chains: one of them failed meanwhile"
            )
        return answers


def _raw(answer: msgspec.Raw) -> msgspec.Raw:
    return answer


def _parsed(parse: Callable[[msgspec.Raw], _T], raw: msgspec.Raw, what: str) -> _T:
    try:
        return parse(raw)
    except wire.Removed as error:
        raise ChainMoved(f"{what}: {error}") from error
    except wire.Malformed as error:
        raise BadAnswer(f"{what}: {error}") from error


def _block(tag: str, raw: msgspec.Raw) -> Block | None:
    named = tag if not tag.startswith("0x") else str(int(tag, 16))
    block = _parsed(wire.block, raw, f"block {named}")
    if block is not None and tag.startswith("0x") and block.number != int(tag, 16):
        raise BadAnswer(f"asked for block {named}, the node sent {block.number}")
    return block


def _lacks(block: int | str) -> Block:
    raise NotThereYet(f"the node does not have block {block} yet")


def _present(numbers: Sequence[int], answers: Sequence[Block | None]) -> dict[int, Block]:
    return {
        number: block for number, block in zip(numbers, answers, strict=True) if block is not None
    }


def _all_of(numbers: Sequence[int], found: dict[int, Block]) -> dict[int, Block]:
    for number in numbers:
        if number not in found:
            _lacks(number)
    return found


def _ordered(logs: list[RawLog], span: str) -> list[RawLog]:
    """``logs`` by block and log index, if they can be true together."""
    logs.sort(key=_place)
    last: RawLog | None = None
    for log in logs:
        if last is not None and last.block_number == log.block_number:
            if last.block_hash != log.block_hash:
                raise BadAnswer(f"eth_getLogs for {span}: two hashes for block {log.block_number}")
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


def _place(log: RawLog) -> tuple[int, int]:
    return log.block_number, log.log_index


def _not_asked_for(span: str, log: RawLog) -> str:
    return f"eth_getLogs for {span} returned a log of {log.address} that was not asked for"

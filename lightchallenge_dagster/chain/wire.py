"""The bytes of a node's answer, read straight into checked values.

``eth_getLogs`` and ``eth_getBlockBy…`` results are decoded by their shape (msgspec), not through
dictionaries, and every field is checked before anyone sees it: hex of the right length, lowercase
afterwards, numbers that fit the columns they are stored in. What does not fit is ``Malformed``,
with the place named; nothing else is ever raised. That the logs of one answer agree with each
other and with the question is the reader's to check.
"""

from __future__ import annotations

import re
from typing import Annotated, TypeVar

import msgspec

from lightchallenge_dagster.errors import LightChallengeError
from lightchallenge_dagster.rules import hexes
from lightchallenge_dagster.rules.events import RawLog
from lightchallenge_dagster.rules.reorg import Block

__all__ = ["Malformed", "Removed", "block", "logs"]

BIGINT_MAX = 2**63 - 1
INTEGER_MAX = 2**31 - 1

_T = TypeVar("_T")


class Malformed(LightChallengeError, ValueError):
    """An answer that is not what the method returns; the message names the place in it."""


class Removed(Malformed):
    """A log marked ``removed``: the chain is moving under the node, so read again."""


class _Log(msgspec.Struct, rename="camel", gc=False):
    address: str
    topics: Annotated[tuple[str, ...], msgspec.Meta(max_length=4)]
    data: str
    block_number: str
    block_hash: str
    transaction_hash: str
    transaction_index: str
    log_index: str
    removed: bool | None = None


class _Header(msgspec.Struct, rename="camel", gc=False):
    number: str
    hash: str
    parent_hash: str
    timestamp: str
    logs_bloom: str


_LOGS = msgspec.json.Decoder(list[_Log])
_HEADER = msgspec.json.Decoder(_Header | None)


def logs(raw: bytes | msgspec.Raw) -> list[RawLog]:
    """The logs of an ``eth_getLogs`` result, in the order in which the node sent them.

    Raises ``Malformed`` for anything that is not a list of mined logs, ``Removed`` for a log that
    is marked so. Hex in capitals is taken and made lowercase.
    """
    found = _decoded(_LOGS, raw, "eth_getLogs")
    shapes: dict[tuple[int, int], bytes] = {}
    numbers: dict[str, int] = {}
    indexes: dict[str, int] = {}
    read: list[RawLog] = []
    for at, log in enumerate(found):
        if log.removed:
            raise Removed(f"log {at} is marked removed: the chain is moving, read again")
        topics, data = log.topics, log.data
        size = (len(topics), len(data))
        shape = shapes.get(size)
        if shape is None:
            digits = (64, 64, 40, *[64] * len(topics), len(data) - 2)
            shape = shapes[size] = hexes.shape(*digits) if len(data) % 2 == 0 else b""
        row = f"{log.block_hash}{log.transaction_hash}{log.address}{''.join(topics)}{data}"
        if not hexes.fits(row, shape, len(topics) + 4):
            log = _lowered(log, at)
            topics, data = log.topics, log.data
        number = numbers.get(log.block_number)
        if number is None:
            number = _quantity(log.block_number, BIGINT_MAX, f"log {at}: blockNumber")
            numbers[log.block_number] = number
        tx_index = indexes.get(log.transaction_index)
        if tx_index is None:
            where = f"log {at}: transactionIndex"
            tx_index = _quantity(log.transaction_index, INTEGER_MAX, where)
            indexes[log.transaction_index] = tx_index
        log_index = indexes.get(log.log_index)
        if log_index is None:
            log_index = _quantity(log.log_index, INTEGER_MAX, f"log {at}: logIndex")
            indexes[log.log_index] = log_index
        read.append(
            RawLog(
                number,
                log.block_hash,
                log.transaction_hash,
                tx_index,
                log_index,
                log.address,
                topics,
                data,
            )
        )
    return read


def block(raw: bytes | msgspec.Raw) -> Block | None:
    """The header in an ``eth_getBlockBy…`` result; None when the node does not have the block.

    Raises ``Malformed`` for anything else.
    """
    found = _decoded(_HEADER, raw, "block")
    if found is None:
        return None
    digest, parent, bloom = found.hash, found.parent_hash, found.logs_bloom
    if not hexes.fits(f"{digest}{parent}{bloom}", _HEADER_SHAPE, 3):
        digest = _hex(digest, _HASH, "block: hash")
        parent = _hex(parent, _HASH, "block: parentHash")
        bloom = _hex(bloom, _BLOOM, "block: logsBloom")
    return Block(
        number=_quantity(found.number, BIGINT_MAX, "block: number"),
        hash=digest,
        parent_hash=parent,
        timestamp=_quantity(found.timestamp, BIGINT_MAX, "block: timestamp"),
        logs_bloom=bloom,
    )


def _decoded(decoder: msgspec.json.Decoder[_T], raw: bytes | msgspec.Raw, what: str) -> _T:
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Malformed(f"the answer to {what}: {error}") from error
    except RecursionError as error:
        raise Malformed(f"the answer to {what} is nested too deeply") from error


# ── Hex ─────────────────────────────────────────────────────────────────────────────────────

_HASH = re.compile(r"0x[0-9a-f]{64}")
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_BLOOM = re.compile(r"0x[0-9a-f]{512}")
_DATA = re.compile(r"0x(?:[0-9a-f]{2})*")
_HEADER_SHAPE = hexes.shape(64, 64, 512)
_QUANTITY = re.compile(r"0x[0-9a-fA-F]+")


def _lowered(log: _Log, at: int) -> _Log:
    """The log with its hex lowercase, field by field; raises ``Malformed`` for the wrong one."""
    where = f"log {at}"
    return msgspec.structs.replace(
        log,
        block_hash=_hex(log.block_hash, _HASH, f"{where}: blockHash"),
        transaction_hash=_hex(log.transaction_hash, _HASH, f"{where}: transactionHash"),
        address=_hex(log.address, _ADDRESS, f"{where}: address"),
        topics=tuple(
            _hex(topic, _HASH, f"{where}: topics[{number}]")
            for number, topic in enumerate(log.topics)
        ),
        data=_hex(log.data, _DATA, f"{where}: data"),
    )


def _hex(value: str, pattern: re.Pattern[str], where: str) -> str:
    text = value.lower()
    if pattern.fullmatch(text) is None:
        raise Malformed(f"{where} is {_shown(value)}, expected {pattern.pattern}")
    return text


def _quantity(value: str, most: int, where: str) -> int:
    if _QUANTITY.fullmatch(value) is None:
        raise Malformed(f"{where} is {_shown(value)}, not a hexadecimal number")
    # Of thousands of digits, the length says enough.
    number = int(value, 16) if len(value) <= 2 + _QUANTITY_DIGITS else most + 1
    if number > most:
        raise Malformed(f"{where} is {_shown(value)}, larger than {most}")
    return number


_QUANTITY_DIGITS = 64
_SHOWN = 80


def _shown(value: str) -> str:
    return repr(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…")

"""What a node's bytes become, and that nothing hostile in them gets any further."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.chain import wire
from lightchallenge_dagster.chain.wire import Malformed, Removed
from lightchallenge_dagster.rules.events import RawLog
from lightchallenge_dagster.rules.reorg import Block

HASH, TX, TOPIC = "0x" + "0a" * 32, "0x" + "bc" * 32, "0x" + "7f" * 32
ADDRESS = "0x" + "ad" * 20
BLOOM = "0x" + "00" * 255 + "ff"

LOG: dict[str, Any] = {
    "address": ADDRESS,
    "topics": [TOPIC, HASH],
    "data": "0x0102",
    "blockNumber": "0x10",
    "blockHash": HASH,
    "transactionHash": TX,
    "transactionIndex": "0x2",
    "logIndex": "0x3",
    "removed": False,
    "blockTimestamp": "0x5",
}
HEADER: dict[str, Any] = {
    "number": "0x10",
    "hash": HASH,
    "parentHash": TX,
    "timestamp": "0x68000000",
    "logsBloom": BLOOM,
    "transactions": [TX],
    "baseFeePerGas": None,
}


def raw(value: Any) -> bytes:
    return json.dumps(value).encode()


def changed(**fields: Any) -> bytes:
    return raw([LOG, {**LOG, **fields}])


def without(field: str) -> bytes:
    return raw([{key: value for key, value in LOG.items() if key != field}])


def test_a_log_is_read_field_by_field() -> None:
    assert wire.logs(raw([LOG])) == [RawLog(16, HASH, TX, 2, 3, ADDRESS, (TOPIC, HASH), "0x0102")]
    assert wire.logs(b" [ ] ") == []


def test_bytes_that_wait_inside_another_message_are_read_too() -> None:
    envelope = msgspec.json.decode(raw({"id": 1, "result": [LOG]}), type=dict[str, msgspec.Raw])
    assert wire.logs(envelope["result"]) == wire.logs(raw([LOG]))


def test_hex_in_capitals_becomes_lowercase() -> None:
    shouted = {
        "address": "0X" + "AD" * 20,
        "topics": [TOPIC.upper(), HASH.replace("a", "A")],
        "data": "0xABCD",
        "blockHash": HASH.upper(),
        "transactionHash": TX.upper().replace("X", "x"),
        "blockNumber": "0xAB",
    }
    (_, log) = wire.logs(changed(**shouted))
    assert log == RawLog(171, HASH, TX, 2, 3, ADDRESS, (TOPIC, HASH), "0xabcd")


@pytest.mark.parametrize("absent", [False, None])
def test_a_log_that_says_nothing_of_removal_is_mined(absent: bool | None) -> None:
    assert wire.logs(changed(removed=absent)) == wire.logs(raw([LOG, LOG]))
    assert wire.logs(without("removed")) == wire.logs(raw([LOG]))


def test_a_removed_log_says_so() -> None:
    with pytest.raises(Removed, match="log 1 is marked removed"):
        wire.logs(changed(removed=True))


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"address": "0x" + "ad" * 19}, "log 1: address"),
        ({"address": None}, r"\$\[1\].address"),
        ({"topics": [TOPIC, "0x" + "7f" * 31]}, r"log 1: topics\[1\]"),
        ({"topics": [TOPIC] * 5}, r"\$\[1\].topics"),
        ({"topics": None}, r"\$\[1\].topics"),
        ({"topics": [7]}, r"\$\[1\].topics\[0\]"),
        ({"data": "0x1"}, "log 1: data"),
        ({"data": "0"}, "log 1: data"),
        ({"data": ""}, "log 1: data"),
        ({"data": "0xzz"}, "log 1: data"),
        ({"data": "0x" + "\u0660" * 2}, "log 1: data"),
        ({"data": "0x\u00e9"}, "log 1: data"),
        ({"data": "0x00\n"}, "log 1: data"),
        ({"blockHash": HASH + "00", "transactionHash": TX[:-2]}, "log 1: blockHash"),
        ({"blockHash": "00" + HASH[2:]}, "log 1: blockHash"),
        ({"blockHash": "1x" + HASH[2:]}, "log 1: blockHash"),
        ({"blockHash": None, "blockNumber": None}, r"\$\[1\]"),
        ({"transactionHash": TX[:-1]}, "log 1: transactionHash"),
        ({"blockNumber": 16}, r"\$\[1\].blockNumber"),
        ({"blockNumber": "16"}, "log 1: blockNumber"),
        ({"blockNumber": "0x"}, "log 1: blockNumber"),
        ({"blockNumber": "0x1_0"}, "log 1: blockNumber"),
        ({"blockNumber": "-0x1"}, "log 1: blockNumber"),
        ({"blockNumber": hex(2**63)}, "log 1: blockNumber is '0x8000000000000000', larger"),
        ({"blockNumber": "0x" + "f" * 100_000}, "log 1: blockNumber .* larger"),
        ({"transactionIndex": hex(2**31)}, "log 1: transactionIndex .* larger"),
        ({"logIndex": hex(2**31)}, "log 1: logIndex .* larger"),
        ({"logIndex": " 0x1"}, "log 1: logIndex"),
        ({"removed": "no"}, r"\$\[1\].removed"),
    ],
)
def test_a_field_that_is_wrong_is_named(fields: dict[str, Any], place: str) -> None:
    with pytest.raises(Malformed, match=place) as raised:
        wire.logs(changed(**fields))
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("field", sorted(LOG.keys() - {"removed", "blockTimestamp"}))
def test_a_field_that_is_missing_is_named(field: str) -> None:
    with pytest.raises(Malformed, match=f"missing required field `{field}`"):
        wire.logs(without(field))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"null",
        b"{}",
        b"[null]",
        b"[[]]",
        b"[",
        b'["\xff"]',
        b'[{"address": "\xff"}]',
        b'[{"\xff": 1}]',
        b'[{"address": "\\ud800"}]',
        b"[" * 200_000,
        b'[{"x": ' + b"[" * 200_000,
        b'[{"x": ' + b'{"x": ' * 200_000,
        raw([LOG])[:-1],
        raw([LOG]) + b"]",
        b"<html>429</html>",
    ],
)
def test_an_answer_that_is_no_list_of_logs_is_malformed(answer: bytes) -> None:
    with pytest.raises(Malformed):
        wire.logs(answer)
    with pytest.raises(Malformed):
        wire.block(b"[]" if answer == b"null" else answer)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([HASH, ADDRESS, "0x", "0x10", BLOOM]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(sorted(LOG | HEADER)) | st.text(), inner, max_size=12)
    ),
    max_leaves=30,
)


@given(JSON)
def test_arbitrary_json_is_a_value_or_malformed(value: Any) -> None:
    for answer in (value, [value], [LOG, value]):
        try:
            read = wire.logs(raw(answer))
        except Malformed:
            continue
        assert isinstance(answer, list)
        assert len(read) == len(answer)
    for answer in (value, {**HEADER, **value} if isinstance(value, dict) else value):
        try:
            header = wire.block(raw(answer))
        except Malformed:
            continue
        assert (header is None) == (answer is None)


@given(st.binary())
def test_arbitrary_bytes_are_malformed_or_empty(answer: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert wire.logs(answer) == []


PATTERNS = {
    "blockHash": r"0x[0-9a-fA-F]{64}",
    "transactionHash": r"0x[0-9a-fA-F]{64}",
    "address": r"0x[0-9a-fA-F]{40}",
    "data": r"0x([0-9a-fA-F]{2})*",
}


@given(st.data())
def test_hex_is_believed_exactly_when_each_field_is_right(data: st.DataObject) -> None:
    """The one look at all of a log's hex finds what a look at each field would find."""
    texts = dict(LOG)
    for field in data.draw(st.sets(st.sampled_from(sorted(PATTERNS)), min_size=1)):
        text: str = LOG[field]
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 3))
        text = text[:at] + data.draw(st.text("0x1fgX-", max_size=3)) + text[at + cut :]
        texts[field] = text
    right = all(
        re.fullmatch(pattern, texts[field].replace("X", "x")) is not None
        for field, pattern in PATTERNS.items()
    )
    try:
        (log,) = wire.logs(raw([texts]))
    except Malformed:
        assert not right
        return
    assert right
    assert (log.block_hash, log.tx_hash, log.address, log.data) == tuple(
        texts[field].lower() for field in ("blockHash", "transactionHash", "address", "data")
    )


def test_a_header_is_read_and_no_block_is_none() -> None:
    assert wire.block(raw(HEADER)) == Block(16, HASH, TX, 0x68000000, BLOOM)
    assert wire.block(b"null") is None


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"number": None}, r"\$.number"),
        ({"hash": HASH[:-1]}, "block: hash"),
        ({"parentHash": "0x"}, "block: parentHash"),
        ({"timestamp": hex(2**63)}, "block: timestamp .* larger"),
        ({"logsBloom": "0x00"}, "block: logsBloom"),
        ({"logsBloom": BLOOM[:-2] + "gg"}, "block: logsBloom"),
    ],
)
def test_a_header_field_that_is_wrong_is_named(fields: dict[str, Any], place: str) -> None:
    with pytest.raises(Malformed, match=place) as raised:
        wire.block(raw({**HEADER, **fields}))
    assert len(str(raised.value)) < 300

"""Logs and what they say: every event of the registry, and those that do not fit it."""

from __future__ import annotations

import json
import re
import tracemalloc
from importlib import resources
from typing import Any

import pytest
from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.rules.events import (
    BIGINT_MAX,
    CONTRACTS,
    LEGACY_ROLE,
    SPECS,
    EventSpec,
    RawLog,
    achievement_problem,
    bloom_of,
    decode,
    is_registered,
    may_contain,
    topic_of,
    topics_for,
)

BLOCK, TX = "0x" + "0b" * 32, "0x" + "0c" * 32
ADDRESS = "0x" + "ad" * 20


def arguments_of(spec: EventSpec) -> list[tuple[str, str, bool]]:
    inside = spec.signature[spec.signature.index("(") + 1 : -1]
    parts = [part.split() for part in inside.split(",")]
    return [(words[-1], words[0], "indexed" in words) for words in parts]


def value_of(kind: str) -> st.SearchStrategy[Any]:
    if kind == "address":
        return st.binary(min_size=20, max_size=20).map(lambda b: "0x" + b.hex())
    if kind == "bytes32":
        return st.binary(min_size=32, max_size=32)
    if kind == "bool":
        return st.booleans()
    if kind == "string":
        return st.text(max_size=80).filter(lambda text: "\0" not in text)
    return st.integers(0, 2 ** int(kind.removeprefix("uint")) - 1)


def log_of(spec: EventSpec, values: dict[str, Any]) -> RawLog:
    """The log that Solidity would emit."""
    arguments = arguments_of(spec)
    name = spec.signature.partition("(")[0]
    canonical = f"{name}({','.join(kind for _, kind, _ in arguments)})"
    topics = ["0x" + keccak(text=canonical).hex()]
    topics += [
        "0x" + encode([kind], [values[n]]).hex() for n, kind, indexed in arguments if indexed
    ]
    plain = [(n, kind) for n, kind, indexed in arguments if not indexed]
    data = encode([kind for _, kind in plain], [values[n] for n, _ in plain])
    return RawLog(7, BLOCK, TX, 0, 3, ADDRESS, tuple(topics), "0x" + data.hex())


def shown(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.role}.{spec.signature[:20]}")
@given(data=st.data())
def test_every_event_says_what_was_emitted(spec: EventSpec, data: st.DataObject) -> None:
    values = {name: data.draw(value_of(kind), label=name) for name, kind, _ in arguments_of(spec)}

    decoded = decode(log_of(spec, values), spec.role)

    limits = dict(spec.limits)
    beyond = [name for name, most in limits.items() if values[name] > most]
    assert (decoded.problem is not None) == bool(beyond)
    assert decoded.event == f"{CONTRACTS[spec.role]}.{spec.signature.partition('(')[0]}"
    assert decoded.args == {name: shown(value) for name, value in values.items()}
    if spec.account:
        assert decoded.account == values[spec.account]
    if spec.request_id:
        assert decoded.request_id == values[spec.request_id]
    if spec.challenge_id:
        number = values[spec.challenge_id]
        assert decoded.challenge_id == (number if number <= BIGINT_MAX else None)


def test_topics_are_those_of_the_compiled_contracts() -> None:
    folder = resources.files("lightchallenge_dagster") / "devnet" / "artifacts"
    for spec in SPECS:
        if spec.role == LEGACY_ROLE:
            continue
        text = (folder / f"{CONTRACTS[spec.role]}.json").read_text(encoding="utf-8")
        name = spec.signature.partition("(")[0]
        (compiled,) = [
            entry
            for entry in json.loads(text)["abi"]
            if entry["type"] == "event" and entry["name"] == name
        ]
        shape = [(i["name"], i["type"], i["indexed"]) for i in compiled["inputs"]]
        assert arguments_of(spec) == shape, spec.signature


def test_no_two_events_of_a_contract_share_a_topic() -> None:
    events = [f"{CONTRACTS[spec.role]}.{spec.signature.partition('(')[0]}" for spec in SPECS]
    assert len({topic_of(event) for event in events}) == len(events)


def test_a_legacy_contract_is_read_for_its_claims_only() -> None:
    assert len(topics_for(["legacy_challengepay_3"])) == 6
    assert is_registered("legacy_challengepay_3", topic_of("LegacyChallengePay.CashbackClaimed"))
    assert not is_registered("legacy_challengepay_3", topic_of("ChallengePay.Finalized"))


JOINED = next(spec for spec in SPECS if spec.signature.startswith("Joined("))


def joined(**changes: Any) -> RawLog:
    log = log_of(JOINED, {"id": 2, "user": ADDRESS, "amount": 5})
    return RawLog(
        log.block_number,
        log.block_hash,
        log.tx_hash,
        log.tx_index,
        log.log_index,
        log.address,
        changes.get("topics", log.topics),
        changes.get("data", log.data),
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"topics": joined().topics[:2]}, "2 topics, the signature has 3"),
        ({"data": "0x"}, "0 bytes of data, expected 32"),
        ({"data": joined().data + "00"}, "33 bytes of data"),
        ({"data": "0xzz"}, "data is not hex"),
        ({"data": ""}, "data is not hex"),
        ({"data": "1" + joined().data[1:]}, "data is not hex"),
        ({"data": joined().data[:-1] + "_"}, "data is not hex"),
        ({"data": joined().data.replace("5", "\u0665")}, "data is not hex"),
        ({"topics": (*joined().topics[:2], "0x" + "00" * 31)}, "of user is not 32 bytes"),
        ({"topics": (*joined().topics[:2], "0x" + "0F" * 32)}, "of user is not 32 bytes"),
        (
            {"topics": (*joined().topics[:2], "0x" + "ff" * 32)},
            "user is not an address: 0xffff",
        ),
        ({"topics": ("0x" + "00" * 32,)}, "no event with topic 0x0000"),
        ({"topics": ()}, "no event with topic (none)"),
    ],
)
def test_a_log_that_does_not_fit_comes_back_with_a_reason(
    changes: dict[str, Any], problem: str
) -> None:
    decoded = decode(joined(**changes), "challengepay")
    assert decoded.event is None
    assert decoded.args is None
    assert decoded.problem is not None and problem in decoded.problem


def test_a_number_too_large_for_its_type_does_not_fit() -> None:
    spec = next(spec for spec in SPECS if spec.signature.startswith("Paused("))
    log = log_of(spec, {"id": 2, "paused": True})
    two = RawLog(7, BLOCK, TX, 0, 3, ADDRESS, log.topics, "0x" + f"{2:064x}")
    assert re.search("paused is not a boolean: 2", str(decode(two, "challengepay").problem))


def test_text_that_postgresql_cannot_store_keeps_its_event() -> None:
    spec = next(spec for spec in SPECS if spec.signature.startswith("InferenceRevealed("))
    log = log_of(
        spec, {"requestId": 1, "worker": ADDRESS, "responseHash": b"\1" * 32, "response": "a\0b"}
    )
    spoiled = log.data.replace("610062", "61ff62")
    for data in (log.data, spoiled):
        raw = RawLog(7, BLOCK, TX, 0, 3, ADDRESS, log.topics, data)
        decoded = decode(raw, "aivm_inference")
        assert decoded.event == "AIVMInferenceV2.InferenceRevealed"
        assert decoded.args is not None and decoded.args["response"] == "a\ufffdb"


@given(st.binary(max_size=300))
def test_any_bytes_at_all_decode_or_give_a_reason(data: bytes) -> None:
    spec = next(spec for spec in SPECS if spec.signature.startswith("MetadataForceSet("))
    values = {
        "challengeContract": ADDRESS,
        "challengeId": 1,
        "setter": ADDRESS,
        "previousUri": "",
        "newUri": "",
    }
    topics = log_of(spec, values).topics
    decoded = decode(
        RawLog(7, BLOCK, TX, 0, 3, ADDRESS, topics, "0x" + data.hex()), "metadata_registry"
    )
    assert (decoded.event is None) == (decoded.problem is not None)


FORCED = next(spec for spec in SPECS if spec.signature.startswith("MetadataForceSet("))
REQUESTED = next(spec for spec in SPECS if spec.signature.startswith("InferenceRequestedV2("))


@pytest.mark.parametrize("spec", [FORCED, REQUESTED], ids=["two strings", "a string and words"])
@given(data=st.data())
def test_text_is_read_as_the_abi_library_reads_it(spec: EventSpec, data: st.DataObject) -> None:
    """Also where an encoding has gaps, overlaps, dirt in its padding or ends early."""
    arguments = arguments_of(spec)
    log = log_of(spec, {name: data.draw(value_of(kind)) for name, kind, _ in arguments})
    payload = bytearray.fromhex(log.data[2:])
    for _ in range(data.draw(st.integers(0, 2))):
        at = data.draw(st.integers(0, len(payload) - 1))
        payload[at] = data.draw(st.sampled_from([0, 1, 31, 32, 64, 96, 128, 160, 255]))
    payload = payload[: data.draw(st.integers(0, len(payload)) | st.just(len(payload)))]
    payload += data.draw(st.sampled_from([b"", b"\0", b"\0" * 32, b"\1" * 32]))
    plain = [(name, kind) for name, kind, indexed in arguments if not indexed]
    types = ["bytes" if kind == "string" else kind for _, kind in plain]
    try:
        values = abi_decode(types, bytes(payload))
    except (DecodingError, OverflowError):
        values = None

    raw = RawLog(7, BLOCK, TX, 0, 3, ADDRESS, log.topics, "0x" + payload.hex())
    decoded = decode(raw, spec.role)

    assert (decoded.event is None) == (values is None)
    if values is not None and decoded.args is not None:
        for (name, kind), value in zip(plain, values, strict=True):
            text = value.decode(errors="replace").replace("\0", "\ufffd")
            assert decoded.args[name] == (text if kind == "string" else shown(value))


def test_a_bloom_of_logs_may_contain_them_and_an_empty_one_nothing() -> None:
    log = joined()
    bloom = f"0x{bloom_of([log]):0512x}"
    assert may_contain(bloom, ADDRESS, [topic_of("ChallengePay.Joined")])
    assert not may_contain(bloom, "0x" + "77" * 20, [topic_of("ChallengePay.Joined")])
    assert not may_contain(bloom, ADDRESS, [topic_of("ChallengePay.Canceled")])
    assert not may_contain("0x" + "00" * 256, ADDRESS, [topic_of("ChallengePay.Joined")])


def test_a_mint_that_no_row_can_follow_from_is_decoded_and_has_a_problem() -> None:
    spec = next(spec for spec in SPECS if spec.signature.startswith("AchievementMinted("))
    mint = {"tokenId": 3, "challengeId": 2, "recipient": ADDRESS, "aType": 1}
    assert decode(log_of(spec, mint), "achievement").problem is None
    for name, value in (("aType", 2), ("tokenId", BIGINT_MAX + 1), ("challengeId", 2**255)):
        decoded = decode(log_of(spec, {**mint, name: value}), "achievement")
        assert decoded.event == "ChallengeAchievement.AchievementMinted"
        assert decoded.args is not None and decoded.args[name] == str(value)
        assert decoded.problem is not None and f"{name} is {value}" in decoded.problem
    assert achievement_problem(0) is achievement_problem(1) is None
    assert "its type is 2" in str(achievement_problem(2))


def test_topics_of_strangers_do_not_fill_the_memory() -> None:
    """Whole blocks are held against their blooms for as long as a process lives."""

    def kept_after(first: int) -> int:
        for number in range(first, first + 5_000):
            topics = (f"0x{number:064x}", f"0x{number + 10**9:064x}")
            bloom_of([joined(topics=topics)])
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        once, twice = kept_after(0), kept_after(5_000)
    finally:
        tracemalloc.stop()

    assert twice < once * 1.1

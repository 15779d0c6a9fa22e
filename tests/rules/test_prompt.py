"""The prompt's bytes, hash and id, as PROTOCOL.md writes them."""

from __future__ import annotations

import json
from decimal import Decimal

from eth_abi.packed import encode_packed
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.rules.prompt import (
    ZERO_HASH,
    Prompt,
    floored,
    hash32,
    is_hash32,
)

MODEL = "0x" + "aB" * 32
PARAMS = "0x" + "22" * 32
BENCHMARK = "0x" + "33" * 32
SUBJECT = "0x" + "Ab" * 20


def a_prompt(**changes: object) -> Prompt:
    values: dict[str, object] = {
        "challenge_id": 7,
        "subject": SUBJECT,
        "model_id": "apple_health.steps@1",
        "model_digest": MODEL,
        "params_hash": PARAMS,
        "benchmark_hash": BENCHMARK,
        "passed": True,
        "score": Decimal(0),
        "evidence_hash": "0x" + "44" * 32,
        "evaluated_ts": 1760000000,
    }
    return Prompt(**{**values, **changes})  # type: ignore[arg-type]


def test_the_prompt_is_the_protocols_text_byte_for_byte() -> None:
    assert a_prompt().json() == (
        '{"schema":"lc-aivm-eval-v1","challengeId":"7","subject":"0x' + "ab" * 20 + '",'
        '"modelId":"apple_health.steps@1","modelDigest":"0x' + "ab" * 32 + '",'
        '"paramsHash":"0x' + "22" * 32 + '","benchmarkHash":"0x' + "33" * 32 + '",'
        '"verdict":{"pass":true,"score":0,"evidenceHash":"0x' + "44" * 32 + '",'
        '"metricHash":"0x' + "00" * 32 + '","evaluatedAt":"1760000000"}}'
    )


def test_the_prompt_hash_is_over_the_utf8_text_without_escapes() -> None:
    prompt = a_prompt(model_id="schritte.ü@1")
    assert "ü" in prompt.json()
    assert prompt.prompt_hash() == "0x" + keccak(prompt.json().encode("utf-8")).hex()


@given(challenge_id=st.integers(0, 2**256 - 1), subject=st.binary(min_size=20, max_size=20))
def test_the_prompt_id_is_the_packed_challenge_and_subject(
    challenge_id: int, subject: bytes
) -> None:
    prompt = a_prompt(challenge_id=challenge_id, subject="0x" + subject.hex())
    packed = encode_packed(["uint256", "address"], [challenge_id, "0x" + subject.hex()])
    assert prompt.prompt_id() == "0x" + keccak(packed).hex()


@given(evidence_hash=st.one_of(st.none(), st.text(max_size=70)))
def test_an_evidence_hash_that_is_not_32_bytes_becomes_zero(evidence_hash: str | None) -> None:
    stated = json.loads(a_prompt(evidence_hash=evidence_hash).json())["verdict"]["evidenceHash"]
    assert stated == hash32(evidence_hash)
    if not is_hash32(evidence_hash):
        assert stated == ZERO_HASH


@given(score=st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9)))
def test_a_score_is_floored_and_never_negative(score: Decimal) -> None:
    floor = floored(score)
    assert floor >= 0
    if score >= 0:
        assert floor <= score < floor + 1


def test_no_score_is_zero() -> None:
    assert floored(None) == 0
    assert floored(Decimal("NaN")) == 0

"""The proof's 13 words, and the response a verifier expects."""

from __future__ import annotations

from decimal import Decimal

from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.rules.prompt import ZERO_HASH
from lightchallenge_dagster.rules.proof import (
    Proof,
    decode_proof,
    expected_response,
    expected_response_hash,
)

hashes = st.binary(min_size=32, max_size=32).map(lambda raw: "0x" + raw.hex())
proofs = st.builds(
    Proof,
    request_id=st.integers(0, 2**256 - 1),
    task_id=hashes,
    challenge_id=st.integers(0, 2**256 - 1),
    subject=st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex()),
    score=st.integers(0, 2**128).map(Decimal),
    evidence_hash=hashes,
    benchmark_hash=hashes,
    evaluated_ts=st.integers(0, 2**64 - 1),
    model_digest=hashes,
    params_hash=hashes,
)


def words_of(proof: Proof) -> list[int]:
    data = proof.encode()
    return [int.from_bytes(data[i : i + 32], "big") for i in range(0, len(data), 32)]


@given(proof=proofs)
def test_a_proof_is_thirteen_words_in_the_protocols_order(proof: Proof) -> None:
    assert proof.score is not None
    assert proof.evidence_hash is not None
    assert words_of(proof) == [
        1,
        proof.request_id,
        int(proof.task_id, 16),
        proof.challenge_id,
        int(proof.subject, 16),
        1,
        int(proof.score),
        int(proof.evidence_hash, 16),
        int(proof.benchmark_hash, 16),
        0,
        proof.evaluated_ts,
        int(proof.model_digest, 16),
        int(proof.params_hash, 16),
    ]


@given(proof=proofs)
def test_a_proof_reads_back_as_it_was_written(proof: Proof) -> None:
    assert decode_proof(proof.encode()) == proof


def test_a_score_is_floored_and_a_strange_evidence_hash_is_zero() -> None:
    proof = Proof(
        request_id=1,
        task_id="0x" + "11" * 32,
        challenge_id=2,
        subject="0x" + "22" * 20,
        score=Decimal("12.99"),
        evidence_hash="sha256:abc",
        benchmark_hash="0x" + "33" * 32,
        evaluated_ts=5,
        model_digest="0x" + "44" * 32,
        params_hash="0x" + "55" * 32,
    )
    read = decode_proof(proof.encode())
    assert read.score == 12
    assert read.evidence_hash == ZERO_HASH


def test_the_expected_response_names_the_challenge_only() -> None:
    assert expected_response(42) == '{"challengeId":"42","verified":true}'
    assert (
        expected_response_hash(42) == "0x" + keccak(b'{"challengeId":"42","verified":true}').hex()
    )

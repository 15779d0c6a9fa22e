"""The proof that ``ChallengePayAivmPoiVerifier.verify`` reads, and the response it expects."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from lightchallenge_dagster.rules.prompt import SCHEMA_VERSION, ZERO_HASH, floored, hash32

# One static tuple, so its encoding is the words of its fields with no offset in front.
PROOF_TYPE = (
    "(uint16,uint256,bytes32,uint256,address,bool,uint256,"
    "bytes32,bytes32,bytes32,uint64,bytes32,bytes32)"
)


def expected_response(challenge_id: int) -> str:
    """The only inference response that lets anyone of this challenge be proven."""
    return f'{{"challengeId":"{challenge_id}","verified":true}}'


def expected_response_hash(challenge_id: int) -> str:
    """keccak256 of :func:`expected_response`, as 0x-hex."""
    return "0x" + keccak(expected_response(challenge_id).encode()).hex()


def _bytes32(value: str) -> bytes:
    return bytes.fromhex(value[2:])


@dataclass(frozen=True, slots=True)
class Proof:
    """One settled winner's proof (PROTOCOL.md, "ChallengePayAivmPoiVerifier").

    ``request_id`` and ``task_id`` are those of the challenge's finalized request and of the
    subject's own binding; ``evaluated_ts`` is the verdict's ``updated_at`` in epoch seconds.
    ``passed`` has no field: a proof is only ever built for a winner.
    """

    request_id: int
    task_id: str
    challenge_id: int
    subject: str
    score: Decimal | None
    evidence_hash: str | None
    benchmark_hash: str
    evaluated_ts: int
    model_digest: str
    params_hash: str

    def encode(self) -> bytes:
        """The 13 words that ``submitProofFor`` takes as ``bytes proof``."""
        return encode(
            [PROOF_TYPE],
            [
                (
                    SCHEMA_VERSION,
                    self.request_id,
                    _bytes32(self.task_id),
                    self.challenge_id,
                    self.subject,
                    True,
                    floored(self.score),
                    _bytes32(hash32(self.evidence_hash)),
                    _bytes32(self.benchmark_hash),
                    _bytes32(ZERO_HASH),
                    self.evaluated_ts,
                    _bytes32(self.model_digest),
                    _bytes32(self.params_hash),
                )
            ],
        )


def decode_proof(data: bytes) -> Proof:
    """Read back what :meth:`Proof.encode` wrote. Raises ``eth_abi``'s decoding errors otherwise."""
    (words,) = decode([PROOF_TYPE], data)
    return Proof(
        request_id=words[1],
        task_id="0x" + words[2].hex(),
        challenge_id=words[3],
        subject=words[4].lower(),
        score=Decimal(words[6]),
        evidence_hash="0x" + words[7].hex(),
        benchmark_hash="0x" + words[8].hex(),
        evaluated_ts=words[10],
        model_digest="0x" + words[11].hex(),
        params_hash="0x" + words[12].hex(),
    )

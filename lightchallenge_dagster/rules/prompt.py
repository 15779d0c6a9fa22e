"""The AIVM prompt of a challenge, schema ``lc-aivm-eval-v1`` (PROTOCOL.md, "Prompt").

Nothing on chain checks the prompt; ``promptHash`` and ``promptId`` go into ``requestInferenceV2``
so that anyone can see later what was asked. The text is therefore reproduced byte for byte.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

from eth_utils.crypto import keccak

SCHEMA = "lc-aivm-eval-v1"
SCHEMA_VERSION = 1
ZERO_HASH = "0x" + "00" * 32

_UINT256_MAX = Decimal(2**256 - 1)
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")


def is_address(value: str) -> bool:
    """Whether ``value`` is a wallet as the tables keep it: 20 bytes of lowercase 0x-hex."""
    return bool(_ADDRESS.fullmatch(value))


def is_hash32(value: object) -> bool:
    """Whether ``value`` is 32 bytes of 0x-hex that are not all zero (the contracts refuse zero)."""
    return isinstance(value, str) and bool(_HASH.fullmatch(value)) and int(value, 16) != 0


def hash32(value: str | None) -> str:
    """``value`` in lowercase where it is 32-byte 0x-hex, the zero hash for anything else."""
    return value.lower() if value is not None and _HASH.fullmatch(value) else ZERO_HASH


def floored(score: Decimal | None) -> int:
    """A verdict's score as the contracts take it: floored, within a uint256, none is zero."""
    if score is None or not score.is_finite():
        return 0
    return int(min(max(Decimal(0), score), _UINT256_MAX).to_integral_value(rounding=ROUND_FLOOR))


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the AIVM is asked about one challenge.

    ``model_digest`` is ``challenges.model_hash``, ``model_id`` is ``proof.modelId`` or the row's
    ``model_id``; ``evaluated_ts`` is the verdict's ``updated_at`` in epoch seconds.
    """

    challenge_id: int
    subject: str
    model_id: str
    model_digest: str
    params_hash: str
    benchmark_hash: str
    passed: bool
    score: Decimal | None
    evidence_hash: str | None
    evaluated_ts: int

    def json(self) -> str:
        """The prompt's text: this key order, no spaces, lowercase hex, ids as strings."""
        return json.dumps(
            {
                "schema": SCHEMA,
                "challengeId": str(self.challenge_id),
                "subject": self.subject.lower(),
                "modelId": self.model_id,
                "modelDigest": self.model_digest.lower(),
                "paramsHash": self.params_hash.lower(),
                "benchmarkHash": self.benchmark_hash.lower(),
                "verdict": {
                    "pass": self.passed,
                    "score": floored(self.score),
                    "evidenceHash": hash32(self.evidence_hash),
                    "metricHash": ZERO_HASH,
                    "evaluatedAt": str(self.evaluated_ts),
                },
            },
            separators=(",", ":"),
            ensure_ascii=False,
        )

    def prompt_hash(self) -> str:
        """keccak256 of the UTF-8 text, as 0x-hex."""
        return "0x" + keccak(self.json().encode()).hex()

    def prompt_id(self) -> str:
        """keccak256 of the challenge id (uint256) followed by the subject (20 bytes), as 0x-hex."""
        packed = self.challenge_id.to_bytes(32, "big") + bytes.fromhex(self.subject[2:])
        return "0x" + keccak(packed).hex()

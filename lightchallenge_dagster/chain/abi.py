"""The few contract functions this package calls, as data: name, argument types, result types.

Written from PROTOCOL.md. Arguments and results are plain Python: ``int``, ``bool``, ``bytes``,
``str``; addresses come back as lowercase 0x-hex, ``bytes32`` as 0x-hex too. A string may be any
bytes: where it is no text, see ``as_text``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from eth_abi.abi import decode, encode
from eth_abi.exceptions import EncodingError
from eth_utils.crypto import keccak

#: What ``Function.encode`` raises for values that no contract takes.
UNWRITABLE = (EncodingError, ValueError)


def selector(signature: str) -> bytes:
    """The four bytes that stand for ``signature`` in calldata and in a custom error."""
    return keccak(text=signature)[:4]


def as_text(raw: bytes) -> str:
    """What strangers wrote as a string: U+FFFD where it is no UTF-8, or NUL (for PostgreSQL)."""
    return raw.decode("utf-8", "replace").replace("\0", "\ufffd")


def _argument(kind: str, value: Any) -> Any:
    if kind.startswith("bytes") and isinstance(value, str):
        return bytes.fromhex(value.removeprefix("0x"))
    return value


def _plain(kind: str, value: Any) -> Any:
    if kind == "address":
        return str(value).lower()
    if kind == "string":
        return as_text(value)
    if kind == "bytes32":
        return "0x" + cast("bytes", value).hex()
    if kind.startswith("(") and not kind.endswith("]"):
        return tuple(_plain(k, v) for k, v in zip(kind[1:-1].split(","), value, strict=True))
    if kind.endswith("[]"):
        return tuple(_plain(kind[:-2], item) for item in value)
    return value


def _values(kinds: Sequence[str], raw: bytes) -> tuple[Any, ...]:
    # Nobody holds a contract's strings to UTF-8, but the decoder would.
    values = decode([kind.replace("string", "bytes") for kind in kinds], raw)
    return tuple(_plain(k, v) for k, v in zip(kinds, values, strict=True))


@dataclass(frozen=True)
class Function:
    """One contract function; ``bytes`` arguments may be given as 0x-hex."""

    name: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    @cached_property
    def selector(self) -> bytes:
        """The function's first four bytes of calldata."""
        return selector(f"{self.name}({','.join(self.inputs)})")

    def encode(self, *arguments: Any) -> str:
        """Calldata as 0x-hex. Raises one of ``UNWRITABLE`` for a value out of range."""
        values = [_argument(k, v) for k, v in zip(self.inputs, arguments, strict=True)]
        return "0x" + (self.selector + encode(self.inputs, values)).hex()

    def decode(self, data: str) -> tuple[Any, ...]:
        """A call's return data. Raises ``eth_abi``'s decoding errors when it is too short."""
        return _values(self.outputs, bytes.fromhex(data.removeprefix("0x")))

    def decode_input(self, data: str) -> tuple[Any, ...]:
        """The arguments in calldata of this function; ``ValueError`` for another function's."""
        raw = bytes.fromhex(data.removeprefix("0x"))
        if raw[:4] != self.selector:
            raise ValueError(f"calldata {data[:10]} is not {self.name}")
        return _values(self.inputs, raw[4:])


def _functions(*functions: Function) -> Callable[[str], Function]:
    by_name = {function.name: function for function in functions}
    return by_name.__getitem__


_CHALLENGE = (
    "(uint256,uint8,uint8,uint8,address,uint8,address,uint256,uint256,uint256,uint256,uint256,"
    "uint256,uint256,address,uint256,uint32,uint256,bool,bool,bool)"
)

challengepay = _functions(
    Function("getChallenge", ("uint256",), (_CHALLENGE,)),
    Function("contribOf", ("uint256", "address"), ("uint256",)),
    Function("isWinner", ("uint256", "address"), ("bool",)),
    Function("dispatchers", ("address",), ("bool",)),
    Function("admin", (), ("address",)),
    Function("submitProofFor", ("uint256", "address", "bytes")),
    Function("submitProofForBatch", ("uint256", "address[]", "bytes[]")),
    Function("finalize", ("uint256",)),
)
treasury = _functions(
    Function("ethAllowanceOf", ("uint256", "address"), ("uint256",)),
    Function("hasRole", ("bytes32", "address"), ("bool",)),
    Function("OPERATOR_ROLE", (), ("bytes32",)),
)
aivm_inference = _functions(
    Function(
        "requestInferenceV2",
        ("string", "bytes32", "bytes32", "bytes32", "bytes32"),
        ("uint256", "bytes32"),
    ),
    Function("requestIdByTaskId", ("bytes32",), ("uint256",)),
    Function("poiQuorum", (), ("uint64",)),
    Function("poiAttestationCount", ("bytes32",), ("uint64",)),
    Function("poiResultHashByTask", ("bytes32",), ("bytes32",)),
    Function("cancelExpired", ("uint256",)),
    Function("timeoutReveal", ("uint256",)),
    Function("reclaimAfterFinalizeTimeout", ("uint256",)),
    Function(
        "requests",
        ("uint256",),
        (
            "address", "string", "bytes32", "bytes32", "bytes32", "bytes32", "bytes32", "uint256",
            "uint64", "uint64", "uint64", "uint64", "uint8", "address", "bytes32", "uint64",
            "bytes32", "string", "uint64", "uint64",
        ),
    ),
)  # fmt: skip
task_registry = _functions(
    Function(
        "recordBinding",
        ("uint256", "address", "uint256", "bytes32", "bytes32", "bytes32", "bytes32", "uint16"),
    ),
    Function("clearBinding", ("uint256", "address")),
    Function(
        "getBinding",
        ("uint256", "address"),
        ("uint256", "bytes32", "bytes32", "bytes32", "bytes32", "uint16", "bool"),
    ),
    Function("dispatchers", ("address",), ("bool",)),
    Function("owner", (), ("address",)),
)
poi_verifier = _functions(Function("verify", ("uint256", "address", "bytes"), ("bool",)))
achievement = _functions(
    Function("achievementOf", ("uint256",), ("uint256", "address", "uint8", "uint64")),
)
metadata_registry = _functions(
    Function("ownerSet", ("address", "uint256", "string")),
    Function("uri", ("address", "uint256"), ("string",)),
    Function("owner", (), ("address",)),
)


def _topic(signature: str) -> str:
    return "0x" + keccak(text=signature).hex()


# The events a receipt is believed by; all other events are the indexer's business.
INFERENCE_REQUESTED = _topic(
    "InferenceRequestedV2(uint256,address,bytes32,string,bytes32,bytes32,bytes32,bytes32)"
)
WINNER_MARKED = _topic("WinnerMarked(uint256,address,uint256,uint256,uint32)")
FINALIZED = _topic("Finalized(uint256,uint8,uint8)")

# Custom errors without arguments, by the contract that names them in PROTOCOL.md; a name that
# several contracts share has one selector.
ERRORS: Sequence[str] = (
    # ChallengePay
    "NotAdmin", "ZeroAddress", "InvalidBounds", "WrongMsgValue", "AmountZero", "ChallengePaused",
    "StartTooSoon", "LeadTimeOutOfBounds", "DeadlineRequired", "ProofDeadlineBeforeEnd",
    "JoinClosesAfterStart", "NotEligible", "NotActive", "AlreadyCanceled", "JoinWindowClosed",
    "MaxParticipantsReached", "ProofNotOpen", "ProofWindowClosed", "AlreadyWinner",
    "AlreadyFinalized", "BeforeDeadline", "TightenOnlyViolation", "GlobalPausedError",
    "ChallengeNotFinalized", "NotCreatorOrAdmin", "TokenNotAllowed", "ExternalIdAlreadyUsed",
    "NotPendingAdmin",
    # Treasury
    "BadParams", "AllowanceTooLow", "InsufficientBucketBalance", "InsufficientTreasuryBalance",
    # AIVMInferenceV2
    "InvalidParams", "InsufficientFee", "TooManyPending", "NotRequester", "NotWorker",
    "WrongStatus", "DeadlinePassed", "DeadlineNotReached", "InsufficientBond", "InvalidSignature",
    "NotActiveValidator", "ConflictingPoIResult", "Disputed",
    # ChallengeTaskRegistry
    "NotAuthorized", "InvalidSubject", "InvalidTask", "InvalidRequestId", "InvalidModelDigest",
    "InvalidSchemaVersion",
    # MetadataRegistry
    "NotOwner", "EmptyUri", "AlreadySet",
)  # fmt: skip

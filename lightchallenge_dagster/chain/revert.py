"""What a contract meant when it refused: custom errors by name, and what to do about them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from lightchallenge_dagster.chain.abi import ERRORS, as_text, selector

Meaning = Literal["done", "waiting", "permanent"]

_BY_SELECTOR = {selector(f"{name}()"): name for name in ERRORS}
_REASON = selector("Error(string)")
_PANIC = selector("Panic(uint256)")

# The effect is there already: whoever asked for it has it.
_DONE = frozenset({"AlreadyWinner", "AlreadySet", "AlreadyFinalized"})
# It will be possible later without anybody changing a configuration.
_WAITING = frozenset(
    {
        "BeforeDeadline",
        "ProofNotOpen",
        "ChallengePaused",
        "GlobalPausedError",
        "TooManyPending",
        "DeadlineNotReached",
    }
)
# A contract may refuse with a reason of any length.
_LONGEST_REASON = 500
_HEX = re.compile(r"0x[0-9a-fA-F]{8,}")


@dataclass(frozen=True, slots=True)
class Revert:
    """A refusal: the error's ``name`` (``NotAdmin``, a reason text, or a bare selector).

    ``meaning``: *done* counts as success (``AlreadyWinner``), *waiting* clears by itself
    (``BeforeDeadline``, a pause), *permanent* stays until somebody mends something (``NotAdmin``).
    """

    name: str
    meaning: Meaning

    def __str__(self) -> str:
        return self.name


def _meaning(name: str) -> Meaning:
    if name in _DONE:
        return "done"
    return "waiting" if name in _WAITING else "permanent"


def _named(data: bytes) -> str | None:
    head = data[:4]
    if head in _BY_SELECTOR:
        return _BY_SELECTOR[head]
    try:
        if head == _REASON:
            return as_text(decode(["bytes"], data[4:])[0])[:_LONGEST_REASON]
        if head == _PANIC:
            return f"Panic(0x{decode(['uint256'], data[4:])[0]:02x})"
    except (DecodingError, OverflowError):  # the latter from lengths beyond all memory
        return None
    return None


def _return_data(data: object) -> str | None:
    """The hex in an error's ``data``: nodes put it there bare, in an object, or inside a text."""
    if isinstance(data, str):
        found = _HEX.search(data)
        return found.group() if found else None
    if isinstance(data, dict):
        for value in cast("dict[str, object]", data).values():
            if (found := _return_data(value)) is not None:
                return found
    return None


def decode_revert(message: str, data: object) -> Revert | None:
    """What an ``RpcError`` says about a contract's refusal; None when no contract refused.

    ``data`` is the JSON-RPC error's ``data`` in any of the shapes nodes use. Where it is missing,
    the message is searched for a known error's name or selector. An error that mentions no revert
    (rate limits, missing methods, an empty wallet) gives None: that is the node talking.
    """
    lowered = message.lower()
    raw = _return_data(data)
    named = _named(bytes.fromhex(raw[2:])) if raw is not None and len(raw) % 2 == 0 else None
    if named is None and ("revert" not in lowered or "insufficient funds" in lowered):
        return None
    if named is None and raw is None and (raw := _return_data(message)) is not None:
        named = _named(bytes.fromhex(raw[2:10]))
    if named is None:
        named = next((name for name in ERRORS if re.search(rf"\b{name}\b", message)), None)
    if named is None:
        named = f"unknown error {raw[:10]}" if raw is not None else "reverted without a reason"
    return Revert(named, _meaning(named))

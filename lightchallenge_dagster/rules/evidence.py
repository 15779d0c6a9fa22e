"""What identifies a piece of evidence: its canonical text and the hash over it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, cast

from eth_utils.crypto import keccak

_DIGITS = 400  # numbers up to 10^±400 are written out; jsonb writes them out as well
_INTEGER_BITS = 10_000  # Python refuses to print longer ones


def canonical_json(records: object) -> str:
    """One text for every way of writing the same JSON value.

    Keys sorted, no spaces, ASCII only, ``5``, ``5.0`` and ``5.00`` alike, so that a value keeps
    its text when it comes back from a ``jsonb`` column. Lists keep their order. Raises
    ``RecursionError`` when nested too deep and ``TypeError`` for what is not JSON.
    """
    return json.dumps(
        _normal(records), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=True
    )


def evidence_hash(records: object) -> str:
    """keccak256 over ``canonical_json(records)``, as 0x-hex: ``evidence.evidence_hash``."""
    return "0x" + keccak(canonical_json(records).encode("ascii")).hex()


def _normal(value: object) -> object:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if isinstance(value, int):
        return value if value.bit_length() < _INTEGER_BITS else {"integer": hex(value)}
    if isinstance(value, dict):
        return {str(k): _normal(v) for k, v in cast("dict[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_normal(item) for item in cast("list[Any]", value)]
    if isinstance(value, float):
        if value - value != 0:
            return value
        # The digits that JSON shows, which jsonb keeps: int(5.408096551696117e16) has others.
        return int(Decimal(repr(value))) if value.is_integer() else value
    if isinstance(value, Decimal):
        return _normal_decimal(value)
    return value


def _normal_decimal(value: Decimal) -> object:
    """A float where that is the same number; else its digits, marked as a number by its shape."""
    if not value.is_finite() or abs(value.adjusted()) > _DIGITS:
        return {"decimal": str(value)}
    if value == value.to_integral_value():
        return int(value)
    near = float(value)
    return near if Decimal(repr(near)) == value else {"decimal": format(value.normalize(), "f")}

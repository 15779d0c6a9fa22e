"""Whether many pieces of hex have their right lengths, seen in one look.

A log is ten fields of lowercase hex. To match each against a pattern costs more than to decode
the whole log, so the fields are put in a row and compared with the row's shape.
"""

from __future__ import annotations

_KINDS = bytes(
    ord("h") if byte in b"0123456789abcdef" else byte if byte == ord("x") else ord("?")
    for byte in range(256)
)
"""Hex digits become h, x stays, anything else is wrong."""


def shape(*digits: int) -> bytes:
    """What ``fits`` expects of fields of ``0x`` and so many hex digits each, in a row."""
    return b"".join(b"hx" + b"h" * count for count in digits)


def fits(row: str, expected: bytes, fields: int) -> bool:
    """Whether ``row`` is ``fields`` fields of lowercase hex with the lengths of ``expected``.

    Every x has to be where a field begins, after a zero, so no field can lend the next one a digit.
    """
    return row.encode(errors="replace").translate(_KINDS) == expected and row.count("0x") == fields

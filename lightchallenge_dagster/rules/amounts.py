"""Amounts of coins for people."""

from __future__ import annotations

from decimal import Decimal

DECIMALS = 18


def lcai(wei: int) -> str:
    """``1.5 LCAI``: exact, with as many of the 18 decimals as it needs."""
    whole, rest = divmod(abs(wei), 10**DECIMALS)
    decimals = f"{rest:018d}".rstrip("0")
    return f"{'-' if wei < 0 else ''}{whole:,}{'.' if decimals else ''}{decimals} LCAI"


def amount(wei: int | Decimal, token: str | None = None) -> str:
    """An amount of LCAI; or of an ERC-20 ``token``, whose decimals nobody indexed."""
    return lcai(int(wei)) if token is None else f"{int(wei):,} units of {token}"

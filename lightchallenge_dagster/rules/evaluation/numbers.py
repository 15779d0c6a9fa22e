"""Numbers from JSON, held exactly: what is measured, what is asked, and how a score is rounded."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from typing import Any

LIMIT = 10**18
"""Quantities are below this; more is no measurement but a broken or forged record."""

_PLACES = 40
_ONE = Decimal(1)
_ASKED_LIMIT = Decimal(10) ** 30

EXACT = Context(prec=150, rounding=ROUND_HALF_UP)
"""Wide enough that no sum or product of quantities (18 + 40 digits each) is ever rounded."""


WRITTEN_OUT = 150
"""Numbers of more digits before or zeros after the point are shown with an exponent."""

_ANY = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)


def exact(value: int | float | Decimal) -> Decimal:
    """The decimal number that the JSON text said: ``0.1`` is a tenth, not its binary neighbour.

    Takes a value that ``is_quantity`` (or a bounded negative); beyond 40 decimals it is rounded.
    """
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, float):
        number = Decimal(repr(value))
        return number if value > 1e-20 or not value else round_half_up(number, _PLACES)
    return round_half_up(value, _PLACES)


def is_quantity(value: object) -> bool:
    """Whether ``value`` can be a measurement: a finite number, not negative, not absurd.

    Text and booleans are no numbers.
    """
    kind = type(value)
    if kind is int or kind is float:
        return 0 <= value < LIMIT  # pyright: ignore[reportOperatorIssue, reportUnknownVariableType]
    return isinstance(value, Decimal) and value.is_finite() and 0 <= value < LIMIT


def quantity_problem(raw: Mapping[str, Any], quantities: Mapping[str, None]) -> str | None:
    """What is wrong with the first of ``quantities`` that the record states wrongly, or None.

    Null is absent. The answer does not depend on the order of the record's keys.
    """
    for name, value in raw.items():
        if name in quantities:
            # The common case without a call: every field of every record passes here.
            if (
                isinstance(value, (int, float))
                and 0 <= value < LIMIT
                and not isinstance(value, bool)
            ):
                continue
            if value is not None and not is_quantity(value):
                break
    else:
        return None
    bad = next(
        name for name in quantities if raw.get(name) is not None and not is_quantity(raw[name])
    )
    return f"{bad} {_why_no_quantity(raw[bad])}"


def _why_no_quantity(value: object) -> str:
    """What is wrong with a value that is not a quantity, as the end of a sentence."""
    number = _finite(value)
    if number is None:
        return "is not a number"
    return "is negative" if number < 0 else "is impossibly large"


def asked(value: object) -> Decimal | None:
    """A threshold from a rule: any finite number below 10^30 in size, else None."""
    number = _finite(value)
    if number is None or not -_ASKED_LIMIT < number < _ASKED_LIMIT:
        return None
    return exact(number)


def is_beyond(value: object) -> bool:
    """Whether ``asked`` refuses a finite number only for its size."""
    return asked(value) is None and _finite(value) is not None


def _finite(value: object) -> int | float | Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None
    return value if isinstance(value, Decimal) and value.is_finite() else None


def round_half_up(value: Decimal | Fraction, places: int) -> Decimal:
    """``value`` to ``places`` decimals, halves away from zero, without trailing zeros."""
    if isinstance(value, Fraction):
        size = abs(value) * 10**places
        units = (2 * size.numerator + size.denominator) // (2 * size.denominator)
        rounded = Decimal(units if value >= 0 else -units).scaleb(-places, EXACT)
    else:
        rounded = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, EXACT)
    return plain(rounded)


def plain(value: Decimal) -> Decimal:
    """The same number without trailing zeros and without an exponent (``100``, not ``1E+2``).

    Takes any finite number; one beyond ``WRITTEN_OUT`` keeps its exponent, which may be huge.
    """
    short = value.normalize(_ANY)
    if int(short.as_tuple().exponent) > 0 and short.adjusted() < WRITTEN_OUT:
        return short.quantize(_ONE, context=_ANY)
    return short


def as_json(value: Decimal | Fraction | int) -> int | float:
    """A number for metadata: a whole one where it is whole, else the nearest float."""
    whole = int(value)
    return whole if value == whole else float(value)


def apart(value: Decimal | Fraction | int, other: Decimal | Fraction | int) -> tuple[str, str]:
    """Two numbers for one sentence, with as many decimals as it takes to tell them apart."""
    for places in (6, 12, 24):
        one, two = in_words(value, places), in_words(other, places)
        if one != two:
            return one, two
    return in_words(value, _PLACES), in_words(other, _PLACES)


def in_words(value: Decimal | Fraction | int, places: int = 6) -> str:
    """A number for a sentence: ``12,345.5``, at most ``places`` decimals."""
    number = Decimal(value) if isinstance(value, int) else round_half_up(value, places)
    return f"{number:,f}"

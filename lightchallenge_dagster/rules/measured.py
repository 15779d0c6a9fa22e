"""What a verdict measured, in sentences. Its metadata may be another worker's, of any shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

_SHOWN = 14


def measured(metadata: object) -> list[str]:
    """The measured value against the threshold, and its days or weeks in short."""
    facts = _object(metadata)
    sentences: list[str] = []
    value, unit = _number(facts.get("value")), facts.get("unit") or facts.get("metric")
    named = f" {unit}" if isinstance(unit, str) else ""
    threshold = _number(facts.get("threshold"))
    if value is not None and facts.get("period") == "daily":
        sentences.append(
            f"{value} days reached {threshold}{named}; {_number(facts.get('min_days'))} needed."
        )
    elif value is not None and threshold is not None:
        sentences.append(f"Measured {value}{named}; {threshold} needed.")
    elif value is not None:
        sentences.append(f"Measured {value}{named}.")
    if (days := _number(facts.get("consecutive_days"))) is not None:
        sentences.append(f"The longest run of days that count is {days}.")
    if (weeks := _number(facts.get("weeks_reached"))) is not None:
        sentences.append(f"{weeks} weeks reached their number of records.")
    for name in ("days", "weeks"):
        if listed := _listed(facts.get(name)):
            sentences.append(f"By {name[:-1]}: {listed}.")
    return sentences


def records_in_words(breakdown: Mapping[str, Any]) -> str:
    """``3 records, 2 recognised; rejected: distance_km is negative (1)``."""
    total, kept = _number(breakdown.get("records")), _number(breakdown.get("recognised"))
    text = ("1 record" if total == "1" else f"{total or 0} records") + (
        "" if kept is None else f", {kept} recognised"
    )
    if (outside := breakdown.get("outside_challenge")) and _number(outside):
        text += f", {_number(outside)} outside the challenge's time"
    if (repeated := breakdown.get("repeated")) and _number(repeated):
        text += f", {_number(repeated)} repeated"
    for name, words in (("rejected", "rejected"), ("dropped", "not recognised")):
        reasons = "; ".join(
            f"{reason} ({count})" for reason, count in _object(breakdown.get(name)).items()
        )
        text += f"; {words}: {reasons}" if reasons else ""
    return text


def _listed(value: object) -> str:
    entries = list(_object(value).items())
    shown = [f"{day} {_amount(amount)}" for day, amount in entries[:_SHOWN]]
    if len(entries) > _SHOWN:
        shown.append(f"and {len(entries) - _SHOWN:,} more")
    return ", ".join(shown)


def _amount(value: object) -> str:
    if isinstance(value, dict):
        parts = cast("dict[str, Any]", value)
        amounts = [f"{name} {_number(part)}" for name, part in parts.items() if name != "counts"]
        return " ".join(amounts) + (" ✓" if parts.get("counts") is True else "")
    return _number(value) or "?"


def _number(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.6f}".rstrip("0").rstrip(".")


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}

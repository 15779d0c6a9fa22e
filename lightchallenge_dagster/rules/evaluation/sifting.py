"""Records sorted into those that count and, by reason, those that do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, Protocol, TypeVar

from lightchallenge_dagster.rules.evidence import canonical_json

from .numbers import plain

_PRINTABLE_BITS = 10_000  # about 3,000 digits
_MOST_DIGITS = 3000
_IDENTITIES = ("activity_id", "match_id", "logId")


class Sourced(Protocol):
    """Anything read from a raw record."""

    @property
    def raw(self) -> Mapping[str, Any]:
        """The record as it was submitted."""
        ...


Item = TypeVar("Item", bound=Sourced)


@dataclass(slots=True)
class Sifted(Generic[Item]):
    """What was read from one piece of evidence.

    ``dropped`` counts what is not recognised as a record of this kind at all, ``rejected`` what is
    one but states something impossible; both by reason.
    """

    kept: list[Item] = field(default_factory=list[Item])
    dropped: Counter[str] = field(default_factory=Counter[str])
    rejected: Counter[str] = field(default_factory=Counter[str])

    def drop(self, reason: str) -> None:
        """Count a record that is not recognised."""
        self.dropped[reason] += 1

    def reject(self, reason: str) -> None:
        """Count a record that is invalid."""
        self.rejected[reason] += 1


def without_repeats(items: Sequence[Item], worth: Callable[[Item], Any]) -> list[Item]:
    """Each record once: the same ``activity_id``, ``match_id`` or ``logId``, else equal throughout.

    Of repeats that differ the one of highest ``worth`` stays (then the smallest canonical JSON), so
    that neither the order of the records nor a repeat with a smaller value changes the result.
    Keeps the order of ``items``.
    """
    groups = _groups(items)
    if len(groups) == len(items):
        return list(items)
    chosen = [_best(items, members, worth) for members in groups]
    return [items[index] for index in sorted(chosen)]


def _best(items: Sequence[Item], members: list[int], worth: Callable[[Item], Any]) -> int:
    if len(members) == 1:
        return members[0]
    most = max(worth(items[index]) for index in members)
    finalists = [index for index in members if worth(items[index]) == most]
    if len(finalists) == 1:
        return finalists[0]
    return min(finalists, key=lambda index: (canonical_json(items[index].raw), index))


def _groups(items: Sequence[Item]) -> list[list[int]]:
    """Indexes of ``items`` grouped by identity; several ids in one record join their groups."""
    by_key: dict[object, int] = {}
    parent = list(range(len(items)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    joined = False
    anonymous: dict[object, list[int]] = {}
    for index, item in enumerate(items):
        raw = item.raw
        named = False
        for name in _IDENTITIES:
            value = raw.get(name)
            # The common case without a call: most records have one of the three.
            if value is None or (identity := _identity(value)) is None:
                continue
            named = True
            other = by_key.setdefault((name, identity), index)
            if other != index:
                parent[root(index)] = root(other)
                joined = True
        if not named:
            anonymous.setdefault(_sketch(item), []).append(index)
    for alike in anonymous.values():
        if len(alike) < 2:
            continue
        texts: dict[object, int] = {}
        for index in alike:
            other = texts.setdefault(canonical_json(items[index].raw), index)
            if other != index:
                parent[root(index)] = root(other)
                joined = True
    if not joined:
        return [[index] for index in range(len(items))]
    groups: dict[int, list[int]] = {}
    for index in range(len(items)):
        groups.setdefault(root(index), []).append(index)
    return list(groups.values())


def _identity(value: object) -> object:
    """What an id is once it is read: ``7``, ``7.0``, ``"7"`` and ``" 7"`` are one; None is no id.

    Numbers are compared by the digits that JSON shows. Python refuses to print very long integers.
    """
    if isinstance(value, str):
        return value.strip() or None
    if value is None or isinstance(value, (bool, dict, list)):
        return None
    if isinstance(value, int):
        return str(value) if value.bit_length() < _PRINTABLE_BITS else value
    number = value if isinstance(value, Decimal) else Decimal(repr(value))
    if not number.is_finite() or abs(number.adjusted()) > _MOST_DIGITS:
        return str(number)
    short = plain(number)
    return f"{short:f}" if short else "0"


def _sketch(item: Sourced) -> object:
    """Something cheap that equal records share: comparing whole records is for those alike."""
    return getattr(item, "start", None), len(item.raw)


def within(
    start: datetime | None, end: datetime | None, after: datetime | None, before: datetime | None
) -> bool:
    """Whether [start, end] overlaps [after, before], both inclusive; None is open.

    A record without a time is inside any window.
    """
    return (before is None or start is None or start <= before) and (
        after is None or end is None or end >= after
    )

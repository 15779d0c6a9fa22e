"""Gaming records: which are matches, who won them, and what was done in them.

RULES.md "Gaming records".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import Any, cast

from .numbers import exact, quantity_problem
from .sifting import Sifted
from .times import from_epoch, from_iso

_STATISTICS = {
    "kills": ("kills", "kill_count"),
    "deaths": ("deaths", "death_count"),
    "assists": ("assists", "assist_count"),
    "headshots": ("headshots", "headshot_count", "hs_count"),
    "damage": ("hero_damage", "damage_dealt", "total_damage_dealt"),
}
_QUANTITIES: dict[str, None] = dict.fromkeys(
    name for names in _STATISTICS.values() for name in names
)
_MARKS = frozenset(
    (
        *_QUANTITIES,
        "match_id",
        "result_for_player",
        "team_result",
        "win",
        "lobby_type",
        "queue_type",
        "ranked",
        "hero_name",
        "hero",
        "champion",
    )
)
_WORDS = re.compile(r"[A-Za-z0-9]+")
_RANKED_LOBBY = 7
_WIDE = Context(prec=250, rounding=ROUND_HALF_EVEN)
_ZERO = Decimal(0)
_QUOTIENT = Decimal(1).scaleb(-90)
_SUM = Decimal(1).scaleb(-60)


@dataclass(slots=True, eq=False)
class Match:
    """One valid gaming record; ``start`` is None where its time is not stated."""

    start: datetime | None
    raw: Mapping[str, Any]

    @property
    def end(self) -> datetime | None:
        """A match is a moment."""
        return self.start

    @property
    def won(self) -> bool:
        """Whether the player won, by any of the three fields."""
        raw = self.raw
        return (
            raw.get("win") is True
            or _is_win(raw.get("result_for_player"))
            or _is_win(raw.get("team_result"))
        )

    @property
    def ranked(self) -> bool:
        """Whether it was played for a rank."""
        raw = self.raw
        if raw.get("ranked") is True:
            return True
        lobby = raw.get("lobby_type")
        if lobby == _RANKED_LOBBY:
            return True
        queue = raw.get("queue_type")
        return isinstance(queue, str) and "RANKED" in _WORDS.findall(queue.upper())

    def played(self, hero: str) -> bool:
        """Whether ``hero`` is part of the hero's or champion's name, in any case."""
        wanted = hero.lower()
        return any(
            isinstance(name, str) and wanted in name.lower()
            for name in map(self.raw.get, ("hero_name", "hero", "champion"))
        )

    def statistic(self, name: str) -> Decimal:
        """kills, deaths, assists, headshots or damage; 0 where missing."""
        for field in _STATISTICS[name]:
            value = self.raw.get(field)
            if value is not None:
                return exact(value)
        return Decimal(0)

    def kda(self) -> Fraction:
        """(kills + assists) / deaths, without deaths kills + assists."""
        return kda_of(self.statistic("kills"), self.statistic("assists"), self.statistic("deaths"))


def kda_of(kills: Decimal, assists: Decimal, deaths: Decimal) -> Fraction:
    """(kills + assists) / deaths, without deaths kills + assists."""
    both = kills + assists
    if not deaths:
        return Fraction(both)
    over, under = both.as_integer_ratio(), deaths.as_integer_ratio()
    return Fraction(over[0] * under[1], over[1] * under[0])


def kda_sum(matches: Iterable[Match]) -> Fraction:
    """The sum of the matches' kda, to 60 decimals, whatever their order.

    Summed exactly for each number of deaths. Exact fractions over many different ones grow with
    every step, so the quotients are taken to 90 decimals: rounded to 60, a sum that has no more
    decimals than that (three thirds) is exact again.
    """
    one = Decimal(1)
    by_deaths: dict[Decimal, Decimal] = {}
    for match in matches:
        deaths = match.statistic("deaths") or one
        both = _WIDE.add(match.statistic("kills"), match.statistic("assists"))
        by_deaths[deaths] = _WIDE.add(by_deaths.get(deaths, _ZERO), both)
    total = _ZERO
    for deaths, both in by_deaths.items():
        total = _WIDE.add(total, _WIDE.quantize(_WIDE.divide(both, deaths), _QUOTIENT))
    return Fraction(_WIDE.quantize(total, _SUM))


def _is_win(result: object) -> bool:
    return isinstance(result, str) and result.strip().lower() == "win"


def read_matches(records: Sequence[object]) -> Sifted[Match]:
    """Sort ``records`` into valid matches and counted reasons.

    A record is a match when it says anything that only a match would: an id, a result, a
    statistic, a hero, a queue.
    """
    sifted: Sifted[Match] = Sifted()
    for record in records:
        if not isinstance(record, dict):
            sifted.drop("a record is not an object")
            continue
        raw = cast("dict[str, Any]", record)
        for name, value in raw.items():
            if value is not None and name in _MARKS:
                break
        else:
            sifted.drop("a record says nothing of a match")
            continue
        problem = quantity_problem(raw, _QUANTITIES)
        if problem is None:
            sifted.kept.append(Match(_time(raw), raw))
        else:
            sifted.reject(problem)
    return sifted


def _time(raw: dict[str, Any]) -> datetime | None:
    return (
        from_iso(raw.get("start"))
        or from_iso(raw.get("match_date"))
        or from_epoch(raw.get("game_creation"), 1000)
        or from_epoch(raw.get("start_time"))
    )

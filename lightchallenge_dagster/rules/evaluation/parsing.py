"""From JSON to typed rules. Whatever is wrong is named by its path."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from decimal import Decimal
from typing import Any, TypeVar, cast

from lightchallenge_dagster.errors import PermanentError

from . import metrics
from .activities import activity_type
from .models import (
    OPS,
    AntiCheat,
    CompetitiveGamingMetric,
    Condition,
    DailyTarget,
    FullFitness,
    FullGaming,
    GamingMetric,
    Period,
    SimplifiedFitness,
    SimplifiedGaming,
    WeeklyTarget,
)
from .numbers import EXACT, asked, is_beyond
from .times import bound_or_clamped, zone

Object = Mapping[str, Any]
T = TypeVar("T")

_ONE = Decimal(1)
_MOST_CONDITIONS = 50


class RuleError(PermanentError):
    """A part of a challenge's configuration is meant as a rule and cannot be one."""

    def __init__(self, path: str, wrong: str) -> None:
        super().__init__(f"{path} {wrong}")
        self.path = path


def quoted(value: object) -> str:
    """Any JSON value for a message: escaped, and short."""
    try:
        if isinstance(value, Decimal):
            text = str(value)
        else:
            text = json.dumps(value, ensure_ascii=True, default=str)
    except (ValueError, RecursionError):
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 60 else text[:57] + "..."


def is_empty(value: object) -> bool:
    """Whether a part is as good as absent: null, ``{}``, ``[]``."""
    return value is None or (
        isinstance(value, (dict, list)) and not cast("dict[Any, Any] | list[Any]", value)
    )


@dataclass(frozen=True, slots=True)
class Zones:
    """Where a challenge may name its time zone, after the rule's own place for it."""

    rules: tuple[tuple[str, Any], ...]
    timeline: tuple[str, Any]

    def find(self, *own: tuple[str, Any]) -> tuple[str, tzinfo]:
        """The name and the zone that is set first, else UTC. Raises ``RuleError``."""
        for path, value in (*own, *self.rules, self.timeline):
            if is_empty(value) or value == "":
                continue
            found = zone(value) if isinstance(value, str) else None
            if found is None:
                raise RuleError(path, f"names no known timezone: {quoted(value)}")
            return value, found
        return "UTC", UTC


def simplified_fitness(rule: Object, path: str, zones: Zones) -> SimplifiedFitness:
    """Read ``{type:"fitness", metric, threshold, period, minDays?}``; raises ``RuleError``."""
    metric = _one_of(rule, path, "metric", metrics.SIMPLIFIED)
    threshold = _number(rule, path, "threshold")
    timezone, where = zones.find((f"{path}.timezone", rule.get("timezone")))
    return SimplifiedFitness(
        path=path,
        zone=where,
        timezone=timezone,
        metric=metric,
        threshold=threshold,
        bound=EXACT.multiply(threshold, metric.per_unit),
        period=_one_of(
            rule, path, "period", {"daily": "daily", "total": "total", "average": "average"}
        ),
        min_days=_number(rule, path, "minDays", _ONE),
    )


def full_fitness(
    rule: Object, path: str, zones: Zones, competitive_metric: tuple[str, Any] | None
) -> FullFitness:
    """Read a full fitness rule; raises ``RuleError``.

    ``competitive_metric`` is where the metric is set and its value; None in threshold mode.
    """
    activity = activity_type(rule.get("challengeType"))
    if activity is None:
        wrong = f"is no known activity type: {quoted(rule.get('challengeType'))}"
        raise RuleError(f"{path}.challengeType", wrong)
    limits = _object(rule, path, "period")
    timezone, where = zones.find((f"{path}.period.timezone", limits.get("timezone")))
    return FullFitness(
        path=path,
        zone=where,
        timezone=timezone,
        activity=activity,
        period=_period(limits, f"{path}.period", where),
        conditions=_conditions(rule, path, metrics.CONDITIONS),
        daily=_daily(rule, path),
        weekly=_weekly(rule, path),
        anti_cheat=_anti_cheat(rule, path),
        competitive_metric=_competitive(competitive_metric, metrics.COMPETITIVE, metrics.STEPS),
    )


_GAMING_METRICS: dict[str, GamingMetric] = {
    "wins": "wins",
    "kills": "kills",
    "headshots": "headshots",
    "kda": "kda",
}
_COMPETITIVE_GAMING: dict[str, CompetitiveGamingMetric] = {
    "wins": "wins",
    "kills": "kills",
    "assists": "assists",
    "deaths": "deaths",
    "kda": "kda",
    "damage": "damage",
}


def simplified_gaming(rule: Object, path: str, zones: Zones) -> SimplifiedGaming:
    """Read ``{type:"gaming", metric, threshold, period, minMatches?}``; raises ``RuleError``."""
    timezone, where = zones.find((f"{path}.timezone", rule.get("timezone")))
    return SimplifiedGaming(
        path=path,
        zone=where,
        timezone=timezone,
        metric=_one_of(rule, path, "metric", _GAMING_METRICS),
        threshold=_number(rule, path, "threshold"),
        period=_one_of(
            rule,
            path,
            "period",
            {"total": "total", "per_match": "per_match", "best_match": "best_match"},
        ),
        min_matches=_number(rule, path, "minMatches", _ONE),
    )


def full_gaming(
    rule: Object, path: str, zones: Zones, competitive_metric: tuple[str, Any] | None
) -> FullGaming:
    """Read a full gaming rule; raises ``RuleError``."""
    limits: Object = {} if is_empty(rule.get("period")) else _object(rule, path, "period")
    timezone, where = zones.find((f"{path}.period.timezone", limits.get("timezone")))
    ranked_only = rule.get("rankedOnly")
    if ranked_only is not None and not isinstance(ranked_only, bool):
        raise RuleError(f"{path}.rankedOnly", f"must be true or false, not {quoted(ranked_only)}")
    hero = rule.get("hero")
    if hero is not None and not isinstance(hero, str):
        raise RuleError(f"{path}.hero", f"must be a name, not {quoted(hero)}")
    streak = rule.get("streakLength")
    return FullGaming(
        path=path,
        zone=where,
        timezone=timezone,
        period=_period(limits, f"{path}.period", where),
        ranked_only=bool(ranked_only),
        hero=hero.strip() if hero and hero.strip() else None,
        min_wins=_number(rule, path, "minWins", _ONE),
        streak_length=None if streak is None else _number(rule, path, "streakLength"),
        competitive_metric=_competitive(competitive_metric, _COMPETITIVE_GAMING, "wins"),
    )


def _period(limits: Object, path: str, where: tzinfo) -> Period:
    ends: dict[str, Any] = {}
    for name, last in (("start", False), ("end", True)):
        value = limits.get(name)
        if is_empty(value) or value == "":
            continue
        ends[name] = bound_or_clamped(value, where, last=last)
        if ends[name] is None:
            raise RuleError(f"{path}.{name}", f"is no time: {quoted(value)}")
    return Period(**ends)


def _conditions(
    rule: Object, path: str, known: Mapping[str, metrics.Metric]
) -> tuple[Condition, ...]:
    value = rule.get("conditions")
    if is_empty(value):
        return ()
    path = f"{path}.conditions"
    if not isinstance(value, list):
        raise RuleError(path, f"must be a list, not {quoted(value)}")
    listed = cast("list[Any]", value)
    if len(listed) > _MOST_CONDITIONS:
        # Every one is asked of every record.
        raise RuleError(
            path, f"must hold at most {_MOST_CONDITIONS} conditions, not {len(listed):,}"
        )
    return tuple(_condition(each, f"{path}[{index}]", known) for index, each in enumerate(listed))


def _condition(value: object, path: str, known: Mapping[str, metrics.Metric]) -> Condition:
    if not isinstance(value, dict):
        raise RuleError(path, f"must be an object, not {quoted(value)}")
    each = cast("dict[str, Any]", value)
    metric = _one_of(each, path, "metric", known)
    op = _one_of(each, path, "op", {name: name for name in OPS})
    number = _number(each, path, "value")
    return Condition(metric, op, number, EXACT.multiply(number, metric.per_unit))


def _daily(rule: Object, path: str) -> DailyTarget | None:
    if is_empty(rule.get("dailyTarget")):
        return None
    target, path = _object(rule, path, "dailyTarget"), f"{path}.dailyTarget"
    days = _number(target, path, "consecutiveDays")
    conditions = _conditions(target, path, metrics.DAILY)
    if not conditions:
        raise RuleError(f"{path}.conditions", "is missing")
    return DailyTarget(days, conditions)


def _weekly(rule: Object, path: str) -> WeeklyTarget | None:
    if is_empty(rule.get("weeklyTarget")):
        return None
    target, path = _object(rule, path, "weeklyTarget"), f"{path}.weeklyTarget"
    return WeeklyTarget(_number(target, path, "minOccurrences"), _number(target, path, "perWeeks"))


def _anti_cheat(rule: Object, path: str) -> AntiCheat | None:
    if is_empty(rule.get("antiCheat")):
        return None
    checks, path = _object(rule, path, "antiCheat"), f"{path}.antiCheat"
    limits = [
        None if checks.get(name) is None else _number(checks, path, name)
        for name in ("minGpsContinuity", "maxTeleportJumps", "minHrConsistency")
    ]
    if not any(limit is not None for limit in limits):
        raise RuleError(
            path, "asks none of minGpsContinuity, maxTeleportJumps and minHrConsistency"
        )
    return AntiCheat(*limits)


def _competitive(setting: tuple[str, Any] | None, known: Mapping[str, T], default: T) -> T:
    if setting is None:
        return default
    path, value = setting
    if isinstance(value, str) and value in known:
        return known[value]
    raise RuleError(path, f"must be one of {', '.join(known)}, not {quoted(value)}")


def _object(rule: Object, path: str, name: str) -> Object:
    value = rule.get(name)
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    raise RuleError(f"{path}.{name}", _missing(value, "an object"))


def _one_of(rule: Object, path: str, name: str, known: Mapping[str, T]) -> T:
    value = rule.get(name)
    if isinstance(value, str) and value in known:
        return known[value]
    raise RuleError(f"{path}.{name}", _missing(value, f"one of {', '.join(known)}"))


def _number(rule: Object, path: str, name: str, default: Decimal | None = None) -> Decimal:
    value = rule.get(name)
    if value is None and default is not None:
        return default
    number = asked(value)
    if is_beyond(value):
        wrong = f"is out of range: {quoted(value)}; it must be between -10^30 and 10^30"
        raise RuleError(f"{path}.{name}", wrong)
    if number is None:
        raise RuleError(f"{path}.{name}", _missing(value, "a number"))
    return number


def _missing(value: object, wanted: str) -> str:
    return (
        f"is missing; it must be {wanted}"
        if value is None
        else f"must be {wanted}, not {quoted(value)}"
    )

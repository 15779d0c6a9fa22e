"""Fitness evidence against a fitness rule: simplified, full, competitive, or none at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, date, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any

from .activities import Activity
from .anticheat import gps_continuity, heart_rate_consistency
from .metrics import DAILY, NATURAL, Metric
from .models import (
    GROWING_OPS,
    AntiCheat,
    Condition,
    DailyTarget,
    FullFitness,
    SimplifiedFitness,
    WeeklyTarget,
)
from .numbers import as_json, in_words, round_half_up
from .outcome import Outcome, counted
from .sifting import within, without_repeats

_FULL_PLACES = 6
_MOST_BREACHES = 20

_OP_WORDS = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than", "==": "exactly"}


def judge_fitness(
    activities: Sequence[Activity],
    rule: SimplifiedFitness | FullFitness | None,
    *,
    competitive: bool,
) -> Outcome:
    """Judge valid activities inside the challenge's window; repeats are left out here."""
    if rule is None:
        kept = without_repeats(activities, _worth_nothing)
        return Outcome(
            True, Decimal(len(kept)), (), _counts("fallback", activities, kept), stands_when="now"
        )
    if isinstance(rule, SimplifiedFitness):
        return _simplified(activities, rule, competitive=competitive)
    return _competitive(activities, rule) if competitive else _threshold(activities, rule)


def _worth_nothing(_activity: Activity) -> int:
    return 0


def _counts(rule: str, given: Sequence[Activity], kept: Sequence[Activity]) -> dict[str, Any]:
    return {"rule": rule, "repeated": len(given) - len(kept), "counted": len(kept)}


def _local_day(zone: tzinfo) -> Callable[[Activity], date]:
    if zone is UTC:
        return lambda activity: activity.start.date()
    return lambda activity: activity.start.astimezone(zone).date()


# ── Simplified ──────────────────────────────────────────────────────────────────────────────


def _simplified(
    activities: Sequence[Activity], rule: SimplifiedFitness, *, competitive: bool
) -> Outcome:
    metric = rule.metric

    def worth(activity: Activity) -> Decimal | int:
        return metric.amount(activity) if metric.matches(activity) else -1

    kept = without_repeats(activities, worth)
    matching = kept if metric.kind is None else [a for a in kept if a.kind == metric.kind]
    breakdown = _counts("simplified", activities, kept) | {
        "metric": metric.name,
        "unit": metric.unit,
        "period": rule.period,
        "threshold": as_json(rule.threshold),
        "timezone": rule.timezone,
        "eligible": len(matching),
    }
    if not matching:
        reason = f"None of the records counts towards {metric.name} ({metric.unit})."
        return Outcome(False, Decimal(0), (reason,), breakdown)

    by_day: dict[date, Decimal] = {}
    day_of = _local_day(rule.zone)
    for activity in matching:
        day = day_of(activity)
        by_day[day] = by_day.get(day, Decimal(0)) + metric.amount(activity)
    breakdown["days"] = {day.isoformat(): metric.shown(by_day[day]) for day in sorted(by_day)}
    if rule.period == "daily":
        reached = sum(amount >= rule.bound for amount in by_day.values())
        value, passed = Fraction(reached), reached >= rule.min_days
        breakdown["min_days"] = as_json(rule.min_days)
    else:
        total = sum(by_day.values(), Decimal(0))
        count = len(by_day) if rule.period == "average" else 1
        passed = total >= rule.bound * count
        value = metric.in_units(total) / count
    breakdown["value"] = as_json(value)
    score = round_half_up(value, _FULL_PLACES if competitive else 2)
    if passed or competitive:
        stands = "ends_at" if rule.period == "average" else "now"
        return Outcome(True, score, (), breakdown, "proof_deadline" if competitive else stands)
    return Outcome(False, score, (_shortfall(rule, value, by_day),), breakdown)


def _shortfall(rule: SimplifiedFitness, value: Fraction, by_day: dict[date, Decimal]) -> str:
    needed = f"{in_words(rule.threshold)} {rule.metric.unit}"
    if rule.period == "daily":
        best = max(by_day, key=lambda day: (by_day[day], -day.toordinal()))
        amount = in_words(rule.metric.in_units(by_day[best]))
        return (
            f"{counted(int(value), 'day')} reached {needed}, {in_words(rule.min_days)} needed; "
            f"the best day was {best.isoformat()} with {amount}."
        )
    if rule.period == "average":
        days = counted(len(by_day), "day")
        return f"The average is {in_words(value)} a day over {days}; {needed} a day are needed."
    return f"The total is {in_words(value)}; {needed} are needed."


# ── Full ────────────────────────────────────────────────────────────────────────────────────


def _in_period(activities: Sequence[Activity], rule: FullFitness) -> list[Activity]:
    period = rule.period
    return [a for a in activities if within(a.start, a.end, period.start, period.end)]


def _scoring(rule: FullFitness) -> Metric:
    return rule.score_metric or NATURAL[rule.activity]


def _worth_of(metric: Metric, kind: str) -> Callable[[Activity], Decimal | int]:
    return lambda activity: metric.amount(activity) if activity.kind == kind else -1


def _breakdown(
    rule: FullFitness, given: Sequence[Activity], kept: Sequence[Activity], metric: Metric
) -> dict[str, Any]:
    return _counts("full", given, kept) | {
        "activity": rule.activity,
        "metric": metric.name,
        "unit": metric.unit,
        "timezone": rule.timezone,
        "period_start": rule.period.start.isoformat() if rule.period.start else None,
        "period_end": rule.period.end.isoformat() if rule.period.end else None,
    }


def _competitive(activities: Sequence[Activity], rule: FullFitness) -> Outcome:
    metric = rule.competitive_metric
    kept = without_repeats(_in_period(activities, rule), _worth_of(metric, rule.activity))
    scope = [a for a in kept if a.kind == rule.activity]
    total = sum((metric.amount(a) for a in scope), Decimal(0))
    breakdown = _breakdown(rule, activities, kept, metric) | {
        "in_scope": len(scope),
        "value": as_json(metric.in_units(total)),
    }
    breaches = _breaches(scope, rule.anti_cheat, rule.zone)
    if breaches:
        return Outcome(False, None, breaches, breakdown)
    return Outcome(True, round_half_up(metric.in_units(total), _FULL_PLACES), (), breakdown)


def _threshold(activities: Sequence[Activity], rule: FullFitness) -> Outcome:
    metric = _scoring(rule)
    kept = without_repeats(_in_period(activities, rule), _worth_of(metric, rule.activity))
    scope = [a for a in kept if a.kind == rule.activity]
    eligible = [a for a in scope if _meets_all(a, rule.conditions)]
    total = metric.in_units(sum((metric.amount(a) for a in scope), Decimal(0)))
    breakdown = _breakdown(rule, activities, kept, metric) | {
        "in_scope": len(scope),
        "eligible": len(eligible),
        "value": as_json(total),
    }
    reasons: list[str] = []
    alone = rule.daily and not (rule.conditions or rule.weekly or rule.anti_cheat)
    if not (kept if alone else scope):
        noun = "activity" if alone else rule.activity
        reasons.append(f"No {noun} record lies within the period of the challenge.")
    if rule.daily:
        reasons += _daily(kept, rule, rule.daily, breakdown)
    if rule.conditions and scope and not eligible:
        reasons.append(_why_none_is_eligible(scope, rule))
    if rule.weekly:
        reasons += _weekly(eligible, rule, rule.weekly, breakdown)
    reasons += _breaches(scope, rule.anti_cheat, rule.zone)
    score = round_half_up(total, _FULL_PLACES)
    return Outcome(
        not reasons,
        score,
        tuple(reasons),
        breakdown,
        "now" if _cannot_be_undone(rule) else "ends_at",
    )


def _cannot_be_undone(rule: FullFitness) -> bool:
    """Whether more records leave a pass a pass: they may breach antiCheat or a daily ceiling."""
    return rule.anti_cheat is None and (
        rule.daily is None or all(c.op in GROWING_OPS for c in rule.daily.conditions)
    )


def _meets_all(activity: Activity, conditions: Sequence[Condition]) -> bool:
    return all(c.holds(c.metric.reading(activity)) for c in conditions)


def _why_none_is_eligible(scope: Sequence[Activity], rule: FullFitness) -> str:
    """Each condition with the nearest reading to it, so that a person sees what was missing."""
    parts = [_nearest(scope, condition) for condition in rule.conditions]
    return f"None of {counted(len(scope), f'{rule.activity} record')} meets every condition: " + (
        "; ".join(parts) + "."
    )


def _nearest(scope: Sequence[Activity], condition: Condition) -> str:
    metric = condition.metric
    asked = f"{_OP_WORDS[condition.op]} {in_words(condition.value)} {metric.unit}"
    readings = [r for a in scope if (r := metric.reading(a)) is not None]
    if not readings:
        return f"{asked} (no record states {metric.name})"
    if condition.op in GROWING_OPS:
        return f"{asked} (the highest is {in_words(metric.in_units(max(readings)))})"
    if condition.op == "==":
        return f"{asked} ({sum(condition.holds(r) for r in readings)} records match)"
    return f"{asked} (the lowest is {in_words(metric.in_units(min(readings)))})"


def _daily(
    kept: Sequence[Activity], rule: FullFitness, target: DailyTarget, breakdown: dict[str, Any]
) -> list[str]:
    day_of = _local_day(rule.zone)
    first = rule.period.start.astimezone(rule.zone).date() if rule.period.start else date.min
    by_day: dict[date, list[Activity]] = {}
    for activity in kept:
        day = day_of(activity)
        if day >= first:
            by_day.setdefault(day, []).append(activity)
    good: list[date] = []
    shown: dict[str, dict[str, Any]] = {}
    asked = {c.metric.name: c.metric for c in target.conditions}
    for day in sorted(by_day):
        sums = {
            name: sum((metric.amount(a) for a in by_day[day]), Decimal(0))
            for name, metric in asked.items()
        }
        holds = all(c.holds(sums[c.metric.name]) for c in target.conditions)
        if holds:
            good.append(day)
        shown[day.isoformat()] = {
            name: DAILY[name].shown(amount) for name, amount in sums.items()
        } | {"counts": holds}
    longest = _longest_run(good)
    breakdown["days"] = shown
    breakdown["consecutive_days"] = longest
    if longest >= target.consecutive_days:
        return []
    wanted = " and ".join(
        f"{_OP_WORDS[c.op]} {in_words(c.value)} {c.metric.unit}" for c in target.conditions
    )
    return [
        f"The longest run of days with {wanted} is {counted(longest, 'day')}; "
        f"{in_words(target.consecutive_days)} in a row are needed."
    ]


def _longest_run(days: Sequence[date]) -> int:
    longest = run = 0
    previous: date | None = None
    for day in days:
        run = run + 1 if previous is not None and day - previous == timedelta(days=1) else 1
        longest = max(longest, run)
        previous = day
    return longest


def _weekly(
    eligible: Sequence[Activity],
    rule: FullFitness,
    target: WeeklyTarget,
    breakdown: dict[str, Any],
) -> list[str]:
    day_of = _local_day(rule.zone)
    weeks: Counter[str] = Counter()
    for activity in eligible:
        year, week, _ = day_of(activity).isocalendar()
        weeks[f"{year:04d}-W{week:02d}"] += 1
    reached = sum(count >= target.min_occurrences for count in weeks.values())
    breakdown["weeks"] = dict(sorted(weeks.items()))
    breakdown["weeks_reached"] = reached
    if reached >= target.per_weeks:
        return []
    return [
        f"{counted(reached, 'week')} had {in_words(target.min_occurrences)} or more eligible "
        f"records; {in_words(target.per_weeks)} such weeks are needed."
    ]


def _breaches(scope: Sequence[Activity], limits: AntiCheat | None, zone: tzinfo) -> tuple[str, ...]:
    """A sentence for every record that is not plausible, in time order."""
    if limits is None:
        return ()
    found: list[str] = []
    for activity in sorted(scope, key=lambda a: (a.start, a.end)):
        found += _breaches_of(activity, limits, zone)
    found.sort()
    if len(found) > _MOST_BREACHES:
        more = len(found) - _MOST_BREACHES
        found[_MOST_BREACHES:] = [f"{counted(more, 'further check')} failed alike."]
    return tuple(found)


def _breaches_of(activity: Activity, limits: AntiCheat, zone: tzinfo) -> list[str]:
    when = activity.start.astimezone(zone).strftime("%Y-%m-%d %H:%M")
    which = f"The {activity.kind} of {when}"
    found: list[str] = []
    if limits.min_gps_continuity is not None or limits.max_teleport_jumps is not None:
        score, jumps = gps_continuity(activity)
        least, most = limits.min_gps_continuity, limits.max_teleport_jumps
        if least is not None and score < least:
            found.append(
                f"{which} has a GPS continuity of {in_words(score)}, below {in_words(least)}."
            )
        if most is not None and jumps > most:
            found.append(f"{which} has {counted(jumps, 'GPS jump')}, more than {in_words(most)}.")
    if limits.min_hr_consistency is not None:
        score = heart_rate_consistency(activity)
        if score < limits.min_hr_consistency:
            found.append(
                f"{which} has a heart-rate consistency of {in_words(score)}, below "
                f"{in_words(limits.min_hr_consistency)}."
            )
    return found

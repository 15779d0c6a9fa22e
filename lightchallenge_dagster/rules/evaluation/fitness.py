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
from .metrics import DAILY, NATURAL, Metric, Reading
from .models import (
    GROWING_OPS,
    AntiCheat,
    Condition,
    DailyTarget,
    FullFitness,
    SimplifiedFitness,
    WeeklyTarget,
)
from .numbers import apart, as_json, in_words, round_half_up
from .outcome import Outcome, counted, listed
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
        breakdown = _counts("fallback", activities, kept) | {"eligible": len(kept)}
        return Outcome(True, Decimal(len(kept)), (), breakdown, stands_when="now")
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
        reason = (
            f"Of {counted(len(kept), 'record')}, none is of type {metric.kind}, the only one that "
            f"counts for {metric.name}."
        )
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
    metric = rule.metric
    if rule.period == "daily":
        best = max(by_day, key=lambda day: (by_day[day], -day.toordinal()))
        amount, wanted = apart(metric.in_units(by_day[best]), rule.threshold)
        return (
            f"{counted(int(value), 'day')} reached {metric.in_words(rule.threshold, wanted)}; the "
            f"challenge asks for at least {in_words(rule.min_days)}. The best day is "
            f"{best.isoformat()} with {amount}."
        )
    reached, wanted = apart(value, rule.threshold)
    if rule.period == "average":
        return (
            f"The average over {counted(len(by_day), 'day')} is {metric.in_words(value, reached)} "
            f"a day; the challenge asks for at least {wanted}."
        )
    return (
        f"The total is {metric.in_words(value, reached)}; the challenge asks for at least {wanted}."
    )


# ── Full ────────────────────────────────────────────────────────────────────────────────────


def _in_period(activities: Sequence[Activity], rule: FullFitness) -> list[Activity]:
    period = rule.period
    return [a for a in activities if within(a.start, a.end, period.start, period.end)]


def _scoring(rule: FullFitness) -> Metric:
    return rule.score_metric or NATURAL[rule.activity]


def _worth_of(metric: Metric, kind: str) -> Callable[[Activity], Decimal | int]:
    return lambda activity: metric.amount(activity) if activity.kind == kind else -1


def _breakdown(
    rule: FullFitness,
    given: Sequence[Activity],
    inside: Sequence[Activity],
    kept: Sequence[Activity],
    metric: Metric,
) -> dict[str, Any]:
    return _counts("full", inside, kept) | {
        "outside_period": len(given) - len(inside),
        "activity": rule.activity,
        "metric": metric.name,
        "unit": metric.unit,
        "timezone": rule.timezone,
        "period_start": rule.period.start.isoformat() if rule.period.start else None,
        "period_end": rule.period.end.isoformat() if rule.period.end else None,
    }


def _competitive(activities: Sequence[Activity], rule: FullFitness) -> Outcome:
    metric = rule.competitive_metric
    inside = _in_period(activities, rule)
    kept = without_repeats(inside, _worth_of(metric, rule.activity))
    scope = [a for a in kept if a.kind == rule.activity]
    total = sum((metric.amount(a) for a in scope), Decimal(0))
    breakdown = _breakdown(rule, activities, inside, kept, metric) | {
        "in_scope": len(scope),
        "eligible": len(scope),
        "value": as_json(metric.in_units(total)),
    }
    breaches = _breaches(scope, rule.anti_cheat, rule.zone)
    if breaches:
        return Outcome(False, None, breaches, breakdown)
    return Outcome(True, round_half_up(metric.in_units(total), _FULL_PLACES), (), breakdown)


def _threshold(activities: Sequence[Activity], rule: FullFitness) -> Outcome:
    metric = _scoring(rule)
    inside = _in_period(activities, rule)
    kept = without_repeats(inside, _worth_of(metric, rule.activity))
    scope = [a for a in kept if a.kind == rule.activity]
    eligible = [a for a in scope if _meets_all(a, rule.conditions)]
    total = metric.in_units(sum((metric.amount(a) for a in scope), Decimal(0)))
    breakdown = _breakdown(rule, activities, inside, kept, metric) | {
        "in_scope": len(scope),
        "eligible": len(eligible),
        "value": as_json(total),
    }
    reasons: list[str] = []
    alone = rule.daily and not (rule.conditions or rule.weekly or rule.anti_cheat)
    if not (kept if alone else scope):
        reasons.append(_why_none_is_in_scope(activities, rule, any_type=bool(alone)))
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
    if len(conditions) < 2:
        return all(c.holds(c.metric.reading(activity)) for c in conditions)
    readings: dict[str, Reading] = {}
    for each in conditions:
        metric = each.metric
        if metric.name not in readings:
            readings[metric.name] = metric.reading(activity)
        if not each.holds(readings[metric.name]):
            return False
    return True


def _why_none_is_in_scope(
    activities: Sequence[Activity], rule: FullFitness, *, any_type: bool
) -> str:
    limits = [
        f"{word} {moment.astimezone(rule.zone):%Y-%m-%d %H:%M}"
        for word, moment in (("from", rule.period.start), ("to", rule.period.end))
        if moment is not None
    ]
    when = f" ({' '.join(limits)} {rule.timezone})" if limits else ""
    among = f"Of {counted(len(activities), 'record')}"
    none = f"none lies within the period of the challenge{when}."
    if any_type:
        return f"{among}, {none}"
    alike = sum(activity.kind == rule.activity for activity in activities)
    if not alike:
        return f"{among}, none is of type {rule.activity}."
    which = f"{alike:,} {'is' if alike == 1 else 'are'} of type {rule.activity}"
    return f"{among}, {which}, but {none}"


def _why_none_is_eligible(scope: Sequence[Activity], rule: FullFitness) -> str:
    """Each condition with the nearest reading to it, so that a person sees what was missing."""
    known: dict[str, list[Decimal | Fraction]] = {}

    def readings(metric: Metric) -> list[Decimal | Fraction]:
        if metric.name not in known:
            known[metric.name] = [r for a in scope if (r := metric.reading(a)) is not None]
        return known[metric.name]

    count = len(rule.conditions)
    parts = (_nearest(readings(each.metric), each) for each in rule.conditions)
    what = "the condition" if count == 1 else "all conditions at once"
    records = counted(len(scope), f"{rule.activity} record")
    return f"Of {records}, none meets {what}: {listed(parts, '; ', count, 'condition')}."


def _nearest(readings: Sequence[Decimal | Fraction], condition: Condition) -> str:
    """What a condition asks, and which of the readings (in base units) comes nearest to it."""
    metric, op = condition.metric, condition.op
    if not readings:
        return f"{_asked(condition)} (no record states {metric.name})"
    if op == "==":
        word, best = "nearest", min(readings, key=lambda reading: _distance(reading, condition))
    else:
        word, best = ("highest", max(readings)) if op in GROWING_OPS else ("lowest", min(readings))
    shown, wanted = apart(metric.in_units(best), condition.value)
    return f"{_asked(condition, wanted)} (the {word} is {shown})"


def _distance(reading: Decimal | Fraction, condition: Condition) -> tuple[Fraction, Fraction]:
    exact = Fraction(reading)
    return abs(exact - Fraction(condition.bound)), exact


def _asked(condition: Condition, digits: str | None = None) -> str:
    return f"{_OP_WORDS[condition.op]} {condition.metric.in_words(condition.value, digits)}"


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
    of_days: list[dict[str, Decimal]] = []
    shown: dict[str, dict[str, Any]] = {}
    asked = {c.metric.name: c.metric for c in target.conditions}
    for day in sorted(by_day):
        sums = {
            name: sum((metric.amount(a) for a in by_day[day]), Decimal(0))
            for name, metric in asked.items()
        }
        of_days.append(sums)
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
    count = len(target.conditions)
    in_a_row = f"the challenge asks for {in_words(target.consecutive_days)} in a row"
    if longest or not of_days:
        wanted = listed(map(_asked, target.conditions), " and ", count, "condition")
        return [f"The longest run of days with {wanted} is {counted(longest, 'day')}; {in_a_row}."]
    parts = (_nearest([sums[c.metric.name] for sums in of_days], c) for c in target.conditions)
    nearest = listed(parts, " and ", count, "condition")
    days = counted(len(of_days), "day")
    return [f"Of {days} with records, none has {nearest}; {in_a_row}."]


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
        f"{counted(reached, 'week')} had at least "
        f"{counted(target.min_occurrences, 'eligible record')} (the most in a week is "
        f"{max(weeks.values(), default=0):,}); the challenge asks for {in_words(target.per_weeks)}."
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

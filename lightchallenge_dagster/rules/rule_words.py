"""What a challenge asks, in sentences for people."""

from __future__ import annotations

from collections.abc import Sequence

from .evaluation.config import ChallengeConfig
from .evaluation.models import (
    AntiCheat,
    Condition,
    FullFitness,
    FullGaming,
    Period,
    SimplifiedFitness,
    SimplifiedGaming,
)
from .evaluation.numbers import in_words
from .evaluation.outcome import counted
from .instants import instant

_OP_WORDS = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than", "==": "exactly"}


def rule_in_words(config: ChallengeConfig) -> list[str]:
    """A sentence for each thing that the challenge asks; what cannot be read is said first."""
    sentences = [f"The rule cannot be read: {config.problem}."] if config.problem else []
    for rule in (config.fitness_rule, config.gaming_rule):
        if isinstance(rule, SimplifiedFitness):
            sentences.append(_simplified_fitness(rule, config.competitive))
        elif isinstance(rule, FullFitness):
            sentences += _full_fitness(rule, config.competitive)
        elif isinstance(rule, SimplifiedGaming):
            sentences.append(_simplified_gaming(rule, config.competitive))
        elif isinstance(rule, FullGaming):
            sentences += _full_gaming(rule, config.competitive)
    if not config.has_rule and not config.problem:
        sentences.append("There is no rule: one recognised activity passes, or one win in a game.")
    if config.competitive:
        best = "one" if config.top_n == 1 else f"{config.top_n:,}"
        wins = "wins" if config.top_n == 1 else "win"
        sentences.append(
            f"Competitive: the best {best} with a score above 0 {wins}; on equal scores the "
            "earlier evidence comes first."
        )
    return sentences


def _simplified_fitness(rule: SimplifiedFitness, competitive: bool) -> str:
    unit, zone = rule.metric.unit, rule.timezone
    amount = rule.metric.in_words(rule.threshold)
    if competitive:
        what = {
            "daily": f"the number of days with at least {amount}",
            "total": f"the total of {unit}",
            "average": f"the average of {unit} a day with records",
        }[rule.period]
        return f"Fitness: ranked by {what} (days in {zone})."
    if rule.period == "daily":
        days = counted(rule.min_days, "day")
        return f"Fitness: at least {amount} a day on at least {days} (in {zone})."
    if rule.period == "average":
        return f"Fitness: on average at least {amount} a day, over the days with records ({zone})."
    return f"Fitness: at least {amount} in total."


def _full_fitness(rule: FullFitness, competitive: bool) -> list[str]:
    when = _period(rule.period, rule.timezone)
    limits = _anti_cheat(rule.anti_cheat)
    if competitive:
        ranked = (
            f"Fitness: ranked by the total of {rule.competitive_metric.unit} in {rule.activity}"
        )
        return [f"{ranked}, {when}.", *limits]
    parts: list[str] = []
    if rule.daily:
        days = in_words(rule.daily.consecutive_days)
        parts.append(f"{days} days in a row with {_all_of(rule.daily.conditions)}, all types")
    if rule.conditions:
        parts.append(f"one {rule.activity} record with {_all_of(rule.conditions)}")
    if rule.weekly:
        such = " such" if rule.conditions else ""
        parts.append(
            f"{counted(rule.weekly.per_weeks, 'week')} with at least "
            f"{in_words(rule.weekly.min_occurrences)}{such} {rule.activity} records"
        )
    if not parts:
        parts.append(f"at least one {rule.activity} record")
    return [f"Fitness, {when}: {'; and '.join(parts)}.", *limits]


def _simplified_gaming(rule: SimplifiedGaming, competitive: bool) -> str:
    how = {
        "total": f"{rule.metric} in total",
        "per_match": f"{rule.metric} per match on average",
        "best_match": f"{rule.metric} in the best match",
    }[rule.period]
    least = f"; at least {counted(rule.min_matches, 'match', 'matches')}"
    if competitive:
        return f"Gaming: ranked by {how}{least}."
    return f"Gaming: at least {in_words(rule.threshold)} {how}{least}."


def _full_gaming(rule: FullGaming, competitive: bool) -> list[str]:
    among = " in ranked matches" if rule.ranked_only else ""
    among += f" with {rule.hero}" if rule.hero else ""
    when = _period(rule.period, rule.timezone)
    if competitive:
        return [f"Gaming: ranked by {rule.competitive_metric}{among}, {when}."]
    if rule.streak_length is not None:
        return [f"Gaming: {counted(rule.streak_length, 'win')} in a row{among}, {when}."]
    return [f"Gaming: at least {counted(rule.min_wins, 'win')}{among}, {when}."]


def _all_of(conditions: Sequence[Condition]) -> str:
    return " and ".join(
        f"{_OP_WORDS[each.op]} {each.metric.in_words(each.value)}" for each in conditions
    )


def _anti_cheat(limits: AntiCheat | None) -> list[str]:
    if limits is None:
        return []
    asked = [
        f"{words} {in_words(limit)}"
        for words, limit in (
            ("a GPS continuity of at least", limits.min_gps_continuity),
            ("GPS jumps of at most", limits.max_teleport_jumps),
            ("a heart-rate consistency of at least", limits.min_hr_consistency),
        )
        if limit is not None
    ]
    return [f"Every record that counts must have {', '.join(asked)}."]


def _period(period: Period, timezone: str) -> str:
    """Bounds are instants, so they are shown in UTC; days are counted in ``timezone``."""
    start = f"from {instant(period.start)} " if period.start else ""
    end = f"until {instant(period.end)} " if period.end else ""
    return f"{start}{end}(days in {timezone})" if start or end else f"at any time ({timezone})"

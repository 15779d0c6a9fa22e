"""Gaming evidence against a gaming rule: simplified, full, competitive, or none at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from .matches import Match, kda_of
from .models import FullGaming, SimplifiedGaming
from .numbers import as_json, in_words, round_half_up
from .outcome import Outcome
from .sifting import within, without_repeats

_LAST = datetime.max.replace(tzinfo=UTC)


def judge_gaming(
    matches: Sequence[Match],
    rule: SimplifiedGaming | FullGaming | None,
    *,
    competitive: bool,
) -> Outcome:
    """Judge valid matches inside the challenge's window; repeats are left out here."""
    if rule is None:
        return _fallback(matches)
    if isinstance(rule, SimplifiedGaming):
        return _simplified(matches, rule, competitive=competitive)
    return _competitive(matches, rule) if competitive else _threshold(matches, rule)


def _counts(rule: str, given: Sequence[Match], kept: Sequence[Match]) -> dict[str, Any]:
    return {"rule": rule, "repeated": len(given) - len(kept), "counted": len(kept)}


def _wins(match: Match) -> int:
    return int(match.won)


def _fallback(matches: Sequence[Match]) -> Outcome:
    kept = without_repeats(matches, _wins)
    wins = sum(match.won for match in kept)
    breakdown = _counts("fallback", matches, kept) | {"metric": "wins", "value": wins}
    if wins:
        return Outcome(True, Decimal(wins), (), breakdown, "now")
    reason = f"No win in {_matches(len(kept))}; 1 is needed."
    return Outcome(False, Decimal(0), (reason,), breakdown)


# ── Simplified ──────────────────────────────────────────────────────────────────────────────


def _per_match(metric: str) -> Callable[[Match], Fraction]:
    if metric == "wins":
        return lambda match: Fraction(match.won)
    if metric == "kda":
        return Match.kda
    return lambda match: Fraction(match.statistic(metric))


def _simplified(matches: Sequence[Match], rule: SimplifiedGaming, *, competitive: bool) -> Outcome:
    measure = _per_match(rule.metric)
    kept = without_repeats(matches, measure)
    breakdown = _counts("simplified", matches, kept) | {
        "metric": rule.metric,
        "period": rule.period,
        "threshold": as_json(rule.threshold),
        "min_matches": as_json(rule.min_matches),
    }
    if not kept or len(kept) < rule.min_matches:
        reason = f"{_matches(len(kept))} played; {in_words(rule.min_matches)} are needed."
        return Outcome(False, Decimal(0), (reason,), breakdown)
    values = [measure(match) for match in kept]
    if rule.period == "best_match":
        value = max(values)
    else:
        value = sum(values, Fraction(0))
        if rule.period == "per_match":
            value /= len(values)
    breakdown["value"] = as_json(value)
    score = round_half_up(value, 2)
    if value >= rule.threshold or competitive:
        growing = rule.period != "per_match" and rule.metric != "kda"
        stands = "now" if growing else "ends_at"
        return Outcome(True, score, (), breakdown, "proof_deadline" if competitive else stands)
    what = {
        "total": f"The total over {_matches(len(kept))} is",
        "per_match": f"The mean over {_matches(len(kept))} is",
        "best_match": f"The best of {_matches(len(kept))} has",
    }[rule.period]
    needed = f"{in_words(rule.threshold)} {rule.metric}"
    return Outcome(False, score, (f"{what} {in_words(value)}; {needed} are needed.",), breakdown)


def _matches(number: int) -> str:
    return "1 match" if number == 1 else f"{number:,} matches"


# ── Full ────────────────────────────────────────────────────────────────────────────────────


def _scope(matches: Sequence[Match], rule: FullGaming) -> list[Match]:
    period = rule.period
    return [
        match
        for match in matches
        if within(match.start, match.start, period.start, period.end)
        and (not rule.ranked_only or match.ranked)
        and (rule.hero is None or match.played(rule.hero))
    ]


def _breakdown(rule: FullGaming, given: Sequence[Match], kept: Sequence[Match]) -> dict[str, Any]:
    return _counts("full", given, kept) | {
        "hero": rule.hero,
        "ranked_only": rule.ranked_only,
        "timezone": rule.timezone,
        "period_start": rule.period.start.isoformat() if rule.period.start else None,
        "period_end": rule.period.end.isoformat() if rule.period.end else None,
        "wins": sum(match.won for match in kept),
    }


def _competitive(matches: Sequence[Match], rule: FullGaming) -> Outcome:
    metric = rule.competitive_metric
    if metric == "wins":
        kept = without_repeats(_scope(matches, rule), _wins)
        value = Fraction(sum(match.won for match in kept))
    elif metric == "kda":
        kept = without_repeats(_scope(matches, rule), Match.kda)
        kills, assists, deaths = (
            sum((match.statistic(name) for match in kept), Decimal(0))
            for name in ("kills", "assists", "deaths")
        )
        value = kda_of(kills, assists, deaths)
    else:
        kept = without_repeats(_scope(matches, rule), lambda match: match.statistic(metric))
        value = Fraction(sum((match.statistic(metric) for match in kept), Decimal(0)))
    breakdown = _breakdown(rule, matches, kept) | {"metric": metric, "value": as_json(value)}
    return Outcome(True, round_half_up(value, 6), (), breakdown)


def _threshold(matches: Sequence[Match], rule: FullGaming) -> Outcome:
    kept = without_repeats(_scope(matches, rule), _wins)
    breakdown = _breakdown(rule, matches, kept)
    if rule.streak_length is not None:
        value, needed, what = _longest_streak(kept), rule.streak_length, "longest run of wins"
        breakdown["streak"] = value
    else:
        value, needed, what = breakdown["wins"], rule.min_wins, "number of wins"
    breakdown |= {"value": value, "threshold": as_json(needed)}
    if value >= needed:
        return Outcome(True, Decimal(value), (), breakdown, "now")
    filters = [
        *(["ranked matches"] if rule.ranked_only else []),
        *([f"matches with {rule.hero}"] if rule.hero else []),
    ]
    among = f" among {' that are '.join(filters)}" if filters else ""
    reason = (
        f"The {what}{among} is {value:,}; {in_words(needed)} needed "
        f"({_matches(len(kept))} of {len(matches):,} count)."
    )
    return Outcome(False, Decimal(value), (reason,), breakdown)


def _longest_streak(matches: Sequence[Match]) -> int:
    """In time order, then input order; matches without a time come last."""
    longest = run = 0
    for match in sorted(matches, key=lambda match: match.start or _LAST):
        run = run + 1 if match.won else 0
        longest = max(longest, run)
    return longest

"""Gaming evidence against a gaming rule: simplified, full, competitive, or none at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from .matches import Match, kda_of, kda_sum
from .models import FullGaming, SimplifiedGaming
from .numbers import apart, as_json, in_words, round_half_up
from .outcome import Outcome, counted
from .parsing import quoted
from .sifting import within, without_repeats

_LAST = datetime.max.replace(tzinfo=UTC)
_ONE = Decimal(1)


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
    return {
        "rule": rule,
        "repeated": len(given) - len(kept),
        "counted": len(kept),
        "eligible": len(kept),
    }


def _wins(match: Match) -> int:
    return int(match.won)


def _fallback(matches: Sequence[Match]) -> Outcome:
    kept = without_repeats(matches, _wins)
    wins = sum(match.won for match in kept)
    breakdown = _counts("fallback", matches, kept) | {"metric": "wins", "value": wins}
    if wins:
        return Outcome(True, Decimal(wins), (), breakdown, "now")
    reason = f"There is no win in {_matches(len(kept))}; the challenge asks for at least 1."
    return Outcome(False, Decimal(0), (reason,), breakdown)


# ── Simplified ──────────────────────────────────────────────────────────────────────────────


def _per_match(metric: str) -> Callable[[Match], Decimal | Fraction | int]:
    if metric == "wins":
        return _wins
    if metric == "kda":
        return Match.kda
    return lambda match: match.statistic(metric)


def _measured(matches: Sequence[Match], rule: SimplifiedGaming) -> Fraction:
    """The sum, mean or best of the rule's metric; there is at least one match."""
    measure = _per_match(rule.metric)
    if rule.period == "best_match":
        return Fraction(max(map(measure, matches)))
    if rule.metric == "kda":
        total = kda_sum(matches)
    else:
        total = Fraction(sum(map(measure, matches), Decimal(0)))
    return total / len(matches) if rule.period == "per_match" else total


def _simplified(matches: Sequence[Match], rule: SimplifiedGaming, *, competitive: bool) -> Outcome:
    kept = without_repeats(matches, _per_match(rule.metric))
    breakdown = _counts("simplified", matches, kept) | {
        "metric": rule.metric,
        "period": rule.period,
        "threshold": as_json(rule.threshold),
        "min_matches": as_json(rule.min_matches),
    }
    if not kept or len(kept) < rule.min_matches:
        reason = (
            f"{_matches(len(kept))} {_count(len(kept))}; the challenge asks for at least "
            f"{in_words(max(rule.min_matches, _ONE))}."
        )
        return Outcome(False, Decimal(0), (reason,), breakdown)
    value = _measured(kept, rule)
    breakdown["value"] = as_json(value)
    score = round_half_up(value, 2)
    if value >= rule.threshold or competitive:
        growing = rule.period != "per_match" and rule.metric != "kda"
        stands = "now" if growing else "ends_at"
        return Outcome(True, score, (), breakdown, "proof_deadline" if competitive else stands)
    noun = rule.metric if rule.metric == "kda" else f"number of {rule.metric}"
    what = {
        "total": f"the total {noun}",
        "per_match": f"the mean {noun}",
        "best_match": f"the highest {noun} in one match",
    }[rule.period]
    reached, wanted = apart(value, rule.threshold)
    reason = (
        f"Over {_matches(len(kept))} {what} is {reached}; the challenge asks for at least {wanted}."
    )
    return Outcome(False, score, (reason,), breakdown)


def _matches(number: int) -> str:
    return counted(number, "match", "matches")


def _count(number: int) -> str:
    return "counts" if number == 1 else "count"


# ── Full ────────────────────────────────────────────────────────────────────────────────────


def _scope(matches: Sequence[Match], rule: FullGaming) -> tuple[list[Match], dict[str, int]]:
    """The matches that the rule asks for, and how many it leaves out for which reason."""
    start, end, hero = rule.period.start, rule.period.end, rule.hero
    inside = [match for match in matches if within(match.start, match.start, start, end)]
    ranked = [match for match in inside if match.ranked] if rule.ranked_only else inside
    scope = ranked if hero is None else [match for match in ranked if match.played(hero)]
    return scope, {
        "outside_period": len(matches) - len(inside),
        "not_ranked": len(inside) - len(ranked),
        "other_hero": len(ranked) - len(scope),
    }


def _breakdown(
    rule: FullGaming, scope: Sequence[Match], left_out: dict[str, int], kept: Sequence[Match]
) -> dict[str, Any]:
    return _counts("full", scope, kept) | {
        **left_out,
        "hero": None if rule.hero is None else quoted(rule.hero)[1:-1],
        "ranked_only": rule.ranked_only,
        "timezone": rule.timezone,
        "period_start": rule.period.start.isoformat() if rule.period.start else None,
        "period_end": rule.period.end.isoformat() if rule.period.end else None,
        "wins": sum(match.won for match in kept),
    }


def _competitive(matches: Sequence[Match], rule: FullGaming) -> Outcome:
    metric = rule.competitive_metric
    scope, left_out = _scope(matches, rule)
    if metric == "wins":
        kept = without_repeats(scope, _wins)
        value = Fraction(sum(match.won for match in kept))
    elif metric == "kda":
        kept = without_repeats(scope, Match.kda)
        kills, assists, deaths = (
            sum((match.statistic(name) for match in kept), Decimal(0))
            for name in ("kills", "assists", "deaths")
        )
        value = kda_of(kills, assists, deaths)
    else:
        kept = without_repeats(scope, lambda match: match.statistic(metric))
        value = Fraction(sum((match.statistic(metric) for match in kept), Decimal(0)))
    breakdown = _breakdown(rule, scope, left_out, kept) | {
        "metric": metric,
        "value": as_json(value),
    }
    return Outcome(True, round_half_up(value, 6), (), breakdown)


def _threshold(matches: Sequence[Match], rule: FullGaming) -> Outcome:
    scope, left_out = _scope(matches, rule)
    kept = without_repeats(scope, _wins)
    breakdown = _breakdown(rule, scope, left_out, kept)
    if rule.streak_length is not None:
        value, needed, what = _longest_streak(kept), rule.streak_length, "longest run of wins"
        breakdown["streak"] = value
    else:
        value, needed, what = breakdown["wins"], rule.min_wins, "number of wins"
    breakdown |= {"value": value, "threshold": as_json(needed)}
    if value >= needed:
        return Outcome(True, Decimal(value), (), breakdown, "now")
    which = f"{'ranked ' if rule.ranked_only else ''}matches" + (
        f" with {breakdown['hero']}" if rule.hero else ""
    )
    among = f" in {which}" if rule.ranked_only or rule.hero else ""
    reason = (
        f"The {what}{among} is {value:,}; the challenge asks for at least {in_words(needed)} "
        f"({len(kept):,} of {_matches(len(matches))} {_count(len(kept))})."
    )
    return Outcome(False, Decimal(value), (reason,), breakdown)


def _longest_streak(matches: Sequence[Match]) -> int:
    """In time order, then input order; matches without a time come last."""
    longest = run = 0
    for match in sorted(matches, key=lambda match: match.start or _LAST):
        run = run + 1 if match.won else 0
        longest = max(longest, run)
    return longest

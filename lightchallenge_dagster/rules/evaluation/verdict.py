"""A wallet's evidence for one challenge becomes one verdict.

RULES.md "Which evidence" and "Judged when". Every provider's row is judged alone; the best counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from typing import Any, Literal, TypeVar, cast

from .activities import Activity, read_activities
from .config import PREVIEW, UNREADABLE_SOURCE, ChallengeConfig
from .fitness import judge_fitness
from .gaming import judge_gaming
from .matches import Match, read_matches
from .numbers import EXACT, LIMIT, as_json, in_words
from .outcome import FinalWhen, Outcome, counted, listed
from .parsing import quoted
from .sifting import Sifted, within, without_repeats

Evaluator = Literal["fitness", "gaming", "passthrough", "unknown"]
Kind = Literal["fitness", "gaming"]

EVALUATORS: dict[str, Evaluator] = {
    **dict.fromkeys(
        ("apple", "apple_health", "strava", "garmin", "fitbit", "googlefit"), "fitness"
    ),
    **dict.fromkeys(("opendota", "riot", "steam", "faceit"), "gaming"),
    "manual": "passthrough",
}
"""Which evaluator judges a provider's evidence; any other provider is unknown."""

Item = TypeVar("Item", Activity, Match)

_SAME_SOURCE = {"apple": "apple_health"}
_WAITING_ORDER: tuple[FinalWhen, ...] = ("now", "ends_at", "proof_deadline")


@dataclass(frozen=True, slots=True)
class Evidence:
    """A row of ``public.evidence``: the latest of its (challenge, wallet, provider).

    ``records`` is the JSON in ``data``, whatever it is.
    """

    provider: str
    records: object
    evidence_hash: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Verdict:
    """A row of ``public.verdicts``: whether the evidence shows what the challenge asks.

    ``reasons`` are sentences for the participant, empty on a pass. ``score`` is null for unknown
    providers and malformed rules. ``evidence_hash`` and ``evaluator`` are those of the provider
    that counts. ``metadata`` is JSON-safe: the breakdown of the provider that counts, and in
    ``providers`` a summary of each, with the ``breakdown`` of those that do not count. See
    ``is_final`` for ``final_when``.
    """

    passed: bool
    score: Decimal | None
    reasons: tuple[str, ...]
    evaluator: Evaluator
    evidence_hash: str
    metadata: dict[str, Any]
    final_when: FinalWhen


def evaluate(
    evidence: Sequence[Evidence],
    config: ChallengeConfig | None,
    *,
    accepted_sources: Sequence[str] = (),
) -> Verdict:
    """Judge a wallet's evidence, one row per provider, by the challenge's configuration.

    ``config`` None is a preview or an unknown challenge. ``accepted_sources`` are the providers
    that the challenge's model lists (``challenge.parse_sources``), empty for no restriction. Never
    raises, whatever the records are.
    """
    rows = _latest_per_provider(evidence)
    if not rows:
        reasons = ("No evidence was submitted.",)
        return Verdict(False, Decimal(0), reasons, "unknown", "", {}, "proof_deadline")
    accepted = frozenset(_source(name) for name in accepted_sources)
    config = config or PREVIEW
    judged: list[tuple[Evidence, Evaluator, Outcome]] = []
    for row in rows:
        evaluator, outcome = _judge_one(row, config, accepted)
        judged.append((row, evaluator, outcome))
    row, evaluator, best = min(judged, key=lambda each: _order(each[0], each[2]))
    stands: list[FinalWhen] = [outcome.stands_when for _, _, outcome in judged if outcome.passed]
    metadata = {
        **best.breakdown,
        "provider": _name(row.provider),
        "mode": config.mode,
        "providers": {
            _name(other.provider): _summary(other, kind, outcome, best)
            for other, kind, outcome in judged
        },
    }
    return Verdict(
        passed=best.passed,
        score=best.score,
        reasons=best.reasons,
        evaluator=evaluator,
        evidence_hash=row.evidence_hash,
        metadata=metadata,
        final_when=_first_of(stands),
    )


def is_final(verdict: Verdict, config: ChallengeConfig | None, chain_now: datetime) -> bool:
    """Whether more evidence can no longer change pass or fail, at chain time ``chain_now``.

    A pass that nothing can undo at once, averages and the like from the challenge's end, and
    whatever it is from the proof deadline on. Without a known end or deadline: not yet.
    """
    if verdict.final_when == "now":
        return True
    if config is None:
        return False
    if config.proof_deadline is not None and chain_now >= config.proof_deadline:
        return True
    return (
        verdict.final_when == "ends_at"
        and config.ends_at is not None
        and chain_now >= config.ends_at
    )


def holds_recognised_record(provider: str, records: object) -> bool:
    """Whether this evidence holds at least one valid record of the provider's kind.

    The tie-break time of a ranking is the ``created_at`` of the wallet's first evidence row for
    which this is true.
    """
    kind = EVALUATORS.get(_source(provider, alias=False), "unknown")
    listed = _list(records)
    if kind == "fitness":
        return any(read_activities([record], UTC).kept for record in listed)
    if kind == "gaming":
        return any(read_matches([record]).kept for record in listed)
    return kind == "passthrough" and any(record is not None for record in listed)


def _first_of(stands: Sequence[FinalWhen]) -> FinalWhen:
    """One provider's pass is enough, so the earliest to stand decides."""
    for when in _WAITING_ORDER:
        if when in stands:
            return when
    return "proof_deadline"


def _latest_per_provider(evidence: Sequence[Evidence]) -> list[Evidence]:
    if len(evidence) == 1:
        return list(evidence)
    latest: dict[str, Evidence] = {}
    for row in evidence:
        provider = _source(row.provider, alias=False)
        other = latest.get(provider)
        if other is None or (row.created_at, row.evidence_hash) > (
            other.created_at,
            other.evidence_hash,
        ):
            latest[provider] = row
    return list(latest.values())


def _order(row: Evidence, outcome: Outcome) -> tuple[Any, ...]:
    """Pass before fail, then the higher score, then the earlier evidence, then by name."""
    score = outcome.score
    return not outcome.passed, score is None, -(score or 0), row.created_at, row.provider


def _summary(
    row: Evidence, evaluator: Evaluator, outcome: Outcome, best: Outcome
) -> dict[str, Any]:
    breakdown = outcome.breakdown
    summary: dict[str, Any] = {
        "pass": outcome.passed,
        "score": None if outcome.score is None else as_json(outcome.score),
        "reasons": list(outcome.reasons),
        "evaluator": evaluator,
        "evidence_hash": row.evidence_hash,
        "has_recognised_record": bool(breakdown.get("recognised")),
        "records": breakdown.get("records", 0),
        "eligible": breakdown.get("eligible", 0),
        "rejected": breakdown.get("rejected", {}),
    }
    if outcome is not best:
        summary["breakdown"] = breakdown
    return summary


def _source(provider: str, *, alias: bool = True) -> str:
    name = provider.strip().lower()
    return _SAME_SOURCE.get(name, name) if alias else name


def _name(provider: str) -> str:
    """A provider's name for a reason or a key; escaped where it is none of ours."""
    name = provider.strip().lower()
    return name if name in EVALUATORS else _shown(provider)


def _shown(name: str) -> str:
    return quoted(name)[1:-1]


def _list(records: object) -> list[Any]:
    return cast("list[Any]", records) if isinstance(records, list) else []


def _judge_one(
    row: Evidence, config: ChallengeConfig, accepted: frozenset[str]
) -> tuple[Evaluator, Outcome]:
    evaluator = EVALUATORS.get(_source(row.provider, alias=False), "unknown")
    # The one boundary: an error inside an evaluator is that evidence's failed verdict, so that it
    # neither stops the others nor waits in the queue for ever (RULES.md "Which evidence").
    try:
        with localcontext(EXACT):
            return evaluator, _bounded(_judge(row, evaluator, config, accepted))
    except Exception as error:  # noqa: BLE001
        kind = type(error).__name__
        reason = f"The evidence could not be evaluated ({kind}); please tell support."
        return evaluator, Outcome(False, None, (reason,), {"error": quoted(str(error))})


def _bounded(outcome: Outcome) -> Outcome:
    """``outcome``, or a fail without a score where its score is beyond any measurement.

    Possible records can add up to it. The ranking refuses so many digits, so that one such score
    would hold back everybody else's.
    """
    score = outcome.score
    if score is None or score < LIMIT:
        return outcome
    reason = f"The score would be {in_words(score)}; {in_words(LIMIT)} or more is no measurement."
    return Outcome(False, None, (reason,), outcome.breakdown)


def _judge(
    row: Evidence,
    evaluator: Evaluator,
    config: ChallengeConfig,
    accepted: frozenset[str],
) -> Outcome:
    if evaluator == "unknown":
        return _refused(f'No evaluator knows the provider "{_name(row.provider)}".')
    source = _source(row.provider)
    if accepted and source not in accepted:
        return _refused(_not_accepted(row.provider, accepted))
    if isinstance(row.records, str):
        reason = (
            "The evidence cannot be read: it is text, or nested too deeply, not a list of records."
        )
        return Outcome(False, Decimal(0), (reason,), {})
    records = _list(row.records)
    if evaluator == "passthrough":
        return _pass_through(records, config, listed=source in accepted)
    if evaluator == "fitness":
        activities = read_activities(records, config.zone)
        inside = _inside(activities.kept, config)
        found = _found(records, activities, inside)
        outcome = (
            _without_records(found)
            or _without_its_rule(config, "fitness", config.fitness_rule, config.fitness_problem)
            or judge_fitness(inside, config.fitness_rule, competitive=config.competitive)
        )
    else:
        matches = read_matches(records)
        inside = _inside(matches.kept, config)
        found = _found(records, matches, inside)
        outcome = (
            _without_records(found)
            or _without_its_rule(config, "gaming", config.gaming_rule, config.gaming_problem)
            or judge_gaming(inside, config.gaming_rule, competitive=config.competitive)
        )
    outcome.breakdown.update(found)
    return outcome


def _not_accepted(provider: str, accepted: frozenset[str]) -> str:
    refused = f"Evidence from {_name(provider)} is not accepted"
    if UNREADABLE_SOURCE in accepted:
        return f"{refused}: the sources that this challenge takes cannot be read."
    names = listed(map(_shown, sorted(accepted)), ", ", len(accepted), "source")
    return f"{refused}; this challenge takes {names}."


def _inside(items: list[Item], config: ChallengeConfig) -> list[Item]:
    """The records that overlap the challenge's own time, where it is known."""
    after, before = config.starts_at, config.ends_at
    if after is None and before is None:
        return items
    return [item for item in items if within(item.start, item.end, after, before)]


def _found(records: list[Any], sifted: Sifted[Any], inside: list[Any]) -> dict[str, Any]:
    """How many records were seen, and why some do not count."""
    return {
        "records": len(records),
        "recognised": len(sifted.kept),
        "outside_challenge": len(sifted.kept) - len(inside),
        "dropped": dict(sorted(sifted.dropped.items())),
        "rejected": dict(sorted(sifted.rejected.items())),
    }


def _without_records(found: dict[str, Any]) -> Outcome | None:
    """Nothing that could count fails before any rule is asked."""
    if found["recognised"] > found["outside_challenge"]:
        return None
    if not found["records"]:
        reason = "The evidence holds no records."
    elif found["recognised"]:
        records = counted(found["recognised"], "record")
        reason = f"Of {records}, none lies within the time of the challenge."
    else:
        causes = (*found["rejected"].items(), *found["dropped"].items())
        parts = (f"{reason} ({count:,})" for reason, count in causes)
        why = listed(parts, "; ", len(causes), "reason")
        records = counted(found["records"], "record")
        reason = f"Of {records}, none can be used: {why}."
    return Outcome(False, Decimal(0), (reason,), {})


def _without_its_rule(
    config: ChallengeConfig, kind: Kind, rule: object, problem: str | None
) -> Outcome | None:
    """The challenge's rule is malformed, or of the other kind only: nothing is measured."""
    if problem is None and rule is None and config.has_rule:
        # A rule that cannot be read may be meant for this kind: its path says more.
        problem = config.gaming_problem if kind == "fitness" else config.fitness_problem
        if problem is None:
            other = "gaming" if kind == "fitness" else "fitness"
            return _refused(f"This challenge asks for {other} evidence; this is {kind} evidence.")
    return None if problem is None else _unreadable(problem)


def _unreadable(problem: str, breakdown: dict[str, Any] | None = None) -> Outcome:
    return _refused(f"The rule of this challenge cannot be read: {problem}.", breakdown)


def _pass_through(records: list[Any], config: ChallengeConfig, *, listed: bool) -> Outcome:
    """Manual records are only counted, and only where nobody could type in a win."""
    items = [_Manual({"record": record}) for record in records if record is not None]
    kept = without_repeats(items, lambda _: 0)
    breakdown: dict[str, Any] = {
        "rule": "passthrough",
        "records": len(records),
        "recognised": len(items),
        "repeated": len(items) - len(kept),
        "counted": len(kept),
        "eligible": len(kept),
        "rejected": {},
    }
    if not kept:
        reasons = ("The evidence holds no records.",)
        return Outcome(False, Decimal(0), reasons, breakdown)
    if config.has_rule and not listed:
        return _refused(
            "Manual evidence is not accepted: this challenge has a rule, and its model does not "
            "list manual.",
            breakdown,
        )
    problem = config.fitness_problem or config.gaming_problem
    if problem is not None and config.has_rule and not (config.fitness_rule or config.gaming_rule):
        return _unreadable(problem, breakdown)
    stands = "proof_deadline" if config.competitive else "now"
    return Outcome(True, Decimal(len(kept)), (), breakdown, stands)


@dataclass(frozen=True, slots=True)
class _Manual:
    """A record nobody looks into."""

    raw: dict[str, Any]


def _refused(reason: str, breakdown: dict[str, Any] | None = None) -> Outcome:
    """Not measured at all: no score."""
    return Outcome(False, None, (reason,), breakdown or {})

"""Short ways to write evidence, rules and configurations."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from lightchallenge_dagster.rules.challenge import ChainTimes, ChallengeConfig, parse_config
from lightchallenge_dagster.rules.evaluation import Evidence, Verdict, evaluate

Json = dict[str, Any]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MARCH = {"start": "2026-03-01", "end": "2026-03-31", "timezone": "UTC"}


def at(day: int, hour: int = 9, minute: int = 0) -> str:
    """An instant in March 2026."""
    return f"2026-03-{day:02d}T{hour:02d}:{minute:02d}:00Z"


def activity(kind: str = "run", day: int = 2, hour: int = 9, **fields: Any) -> Json:
    """A fitness record that starts in March 2026."""
    return {"type": kind, "start": at(day, hour), **fields}


def match(won: bool = True, day: int | None = 2, hour: int = 9, **fields: Any) -> Json:
    """A gaming record, one of its own by default."""
    timed = {} if day is None else {"match_date": at(day, hour)}
    return {"result_for_player": "win" if won else "loss", **timed, **fields}


def evidence(provider: str, records: object, created_at: datetime = NOON) -> Evidence:
    """The latest row of one provider."""
    return Evidence(provider, records, f"0x{provider}", created_at)


def simplified(metric: str, threshold: object, period: str, **more: Any) -> Json:
    """A simplified rule; a gaming one where the metric is."""
    gaming = metric in {"wins", "kills", "headshots", "kda"}
    kind = "gaming" if gaming else "fitness"
    return {"type": kind, "metric": metric, "threshold": threshold, "period": period, **more}


def full(activity: str = "run", **more: Any) -> Json:
    """A full fitness rule over March 2026."""
    return {"challengeType": activity, "period": MARCH, **more}


def config(
    rule: Json | None = None,
    *,
    rules: Json | None = None,
    timeline: object = None,
    chain: ChainTimes | None = None,
) -> ChallengeConfig:
    """A challenge with a full rule in proof.params.rule or simplified rules in params.rules."""
    params = None if rules is None else {"rules": rules}
    proof = None if rule is None else {"params": {"rule": rule}}
    return parse_config(params, proof, timeline, chain)


def judge(
    records: object, challenge: ChallengeConfig | None = None, provider: str = "strava"
) -> Verdict:
    """One provider's evidence, judged."""
    return evaluate([evidence(provider, records)], challenge)

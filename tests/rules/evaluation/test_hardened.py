"""What an attacker may submit or configure: scores without bound, and work without bound."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from lightchallenge_dagster.rules.challenge import ChallengeConfig

from .builders import activity, config, full, judge, match, simplified

LIMIT = 10**18
MOST = 9.9e17
COMPETITIVE = {"mode": "competitive"}


# ── Scores are bounded ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("challenge", "record", "provider"),
    [
        (config(rules=simplified("distance_km", 5, "total")), {"distance_km": MOST}, "strava"),
        (config(full()), {"distance_km": MOST}, "strava"),
        (config(full(**COMPETITIVE)), {"steps_count": MOST}, "strava"),
        (config(rules=simplified("kills", 5, "total")), {"kills": MOST}, "riot"),
        (config({**COMPETITIVE, "competitiveMetric": "damage"}), {"hero_damage": MOST}, "riot"),
        (config(rules=simplified("kda", 1, "best_match")), {"kills": MOST, "deaths": 0.1}, "riot"),
    ],
)
def test_a_score_beyond_any_measurement_fails_with_the_number_and_keeps_its_breakdown(
    challenge: ChallengeConfig, record: dict[str, Any], provider: str
) -> None:
    one = activity if provider == "strava" else match
    records = [one(day=day, match_id=day, **record) for day in range(1, 13)]
    verdict = judge(records, challenge, provider)
    assert (verdict.passed, verdict.score) == (False, None)
    assert len(verdict.reasons) == 1
    assert "000,000" in verdict.reasons[0]
    assert "no measurement" in verdict.reasons[0]
    assert verdict.metadata["value"] >= LIMIT
    assert verdict.metadata["recognised"] == 12


def test_a_score_just_below_the_limit_counts_and_the_limit_does_not() -> None:
    below = [activity(steps_count=LIMIT - 2), activity(day=3, steps_count=1)]
    at_limit = [activity(steps_count=LIMIT - 1), activity(day=3, steps_count=1)]
    rule = config(full(**COMPETITIVE))
    assert judge(below, rule).score == Decimal(LIMIT - 1)
    verdict = judge(at_limit, rule)
    assert verdict.score is None
    assert "1,000,000,000,000,000,000" in verdict.reasons[0]

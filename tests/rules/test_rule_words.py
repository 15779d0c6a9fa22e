"""Every kind of rule, in words; and what was measured, whoever wrote it down."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.rules.challenge import parse_config
from lightchallenge_dagster.rules.measured import measured, records_in_words
from lightchallenge_dagster.rules.rule_words import rule_in_words

PERIOD = {"start": "2026-03-01", "end": "2026-03-08", "timezone": "Europe/Berlin"}
WHEN = "from 2026-02-28 23:00:00 UTC until 2026-03-08 22:59:59.999999 UTC (days in Europe/Berlin)"


def fitness(**rule: Any) -> dict[str, Any]:
    return {"rules": {"type": "fitness", "metric": "steps", "threshold": 10000, **rule}}


@pytest.mark.parametrize(
    ("params", "says"),
    [
        (
            fitness(period="daily", minDays=5),
            ["Fitness: at least 10,000 steps a day on at least 5 days (in UTC)."],
        ),
        (fitness(period="total"), ["Fitness: at least 10,000 steps in total."]),
        (
            fitness(period="average", timezone="Asia/Tokyo"),
            [
                "Fitness: on average at least 10,000 steps a day, over the days with records "
                "(Asia/Tokyo)."
            ],
        ),
        (
            {"rule": {"challengeType": "run", "period": PERIOD, "conditions": [
                {"metric": "distance_km", "op": ">=", "value": 5},
                {"metric": "avg_pace_min_per_km", "op": "<", "value": 6}]}},
            [f"Fitness, {WHEN}: one run record with at least 5 km and less than 6 min/km on "
             "average."],
        ),
        (
            {"rule": {"challengeType": "run", "period": PERIOD,
                      "weeklyTarget": {"minOccurrences": 3, "perWeeks": 1},
                      "dailyTarget": {"consecutiveDays": 7, "conditions": [
                          {"metric": "steps_count", "op": ">=", "value": 8000}]},
                      "antiCheat": {"maxTeleportJumps": 2}}},
            [f"Fitness, {WHEN}: 7 days in a row with at least 8,000 steps, all types; and 1 week "
             "with at least 3 run records.",
             "Every record that counts must have GPS jumps of at most 2."],
        ),
        (
            {"rule": {"challengeType": "run", "period": PERIOD}, "mode": "competitive", "topN": 3,
             "competitiveMetric": "distance_km"},
            [f"Fitness: ranked by the total of km in run, {WHEN}.",
             "Competitive: the best 3 with a score above 0 win; on equal scores the earlier "
             "evidence comes first."],
        ),
        (
            {"rules": {"type": "gaming", "metric": "kda", "threshold": 3, "period": "per_match",
                       "minMatches": 1}},
            ["Gaming: at least 3 kda per match on average; at least 1 match."],
        ),
        (
            {"rule": {"minWins": 1, "hero": "Axe", "rankedOnly": True}},
            ["Gaming: at least 1 win in ranked matches with Axe, at any time (UTC)."],
        ),
        ({"rule": {"streakLength": 3}}, ["Gaming: 3 wins in a row, at any time (UTC)."]),
        ({}, ["There is no rule: one recognised activity passes, or one win in a game."]),
        (
            fitness(period="never"),
            ["The rule cannot be read: params.rules.period must be one of daily, total, average, "
             'not "never".'],
        ),
    ],
)  # fmt: skip
def test_a_rule_in_words(params: dict[str, Any], says: list[str]) -> None:
    assert rule_in_words(parse_config(params, None, None)) == says


def test_what_was_measured_is_set_against_the_threshold() -> None:
    assert measured({"value": 6.5, "threshold": 10, "unit": "km", "days": {"2026-03-02": 6.5}}) == [
        "Measured 6.5 km; 10 needed.",
        "By day: 2026-03-02 6.5.",
    ]
    assert measured(
        {"period": "daily", "value": 2, "threshold": 10000, "unit": "steps", "min_days": 5}
    ) == ["2 days reached 10,000 steps; 5 needed."]


def test_many_days_are_shown_in_short() -> None:
    days = {
        f"2026-03-{day:02}": {"steps_count": 9 * day, "counts": day > 1} for day in range(1, 32)
    }
    (sentence,) = measured({"days": days})
    assert "2026-03-02 steps_count 18 ✓" in sentence
    assert sentence.endswith("and 17 more.")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
_NAMES = st.sampled_from(
    ["value", "threshold", "unit", "days", "weeks", "period", "records", "rejected", "recognised"]
)


@given(_JSON | st.dictionaries(_NAMES, _JSON))
def test_metadata_of_any_shape_is_read(metadata: Any) -> None:
    assert all(isinstance(sentence, str) for sentence in measured(metadata))
    if isinstance(metadata, dict):
        assert records_in_words(metadata)

"""What holds for any evidence and any configuration."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.rules.challenge import ChallengeConfig
from lightchallenge_dagster.rules.evaluation import evaluate

from ..effort import examples
from .builders import NOON, config, evidence, judge
from .strategies import (
    PROVIDERS,
    activities,
    checked,
    conditional,
    crowded,
    far_outside,
    fitness_challenges,
    full_fitness,
    gaming_challenges,
    matches,
    outside,
    simplified_fitness,
)


@examples(300)
@given(
    st.lists(activities() | crowded, max_size=8),
    fitness_challenges | checked.map(config),
    st.randoms(),
)
def test_the_order_of_activities_never_matters(
    records: list[Any], challenge: ChallengeConfig, random: Any
) -> None:
    shuffled = list(records)
    random.shuffle(shuffled)
    assert judge(records, challenge) == judge(shuffled, challenge)


@examples(300)
@given(
    # Times differ, because a streak counts matches at one time in input order.
    st.lists(matches(), max_size=8, unique_by=lambda each: each["start_time"]),
    gaming_challenges,
    st.randoms(),
)
def test_the_order_of_matches_never_matters(
    records: list[Any], challenge: ChallengeConfig, random: Any
) -> None:
    shuffled = list(records)
    random.shuffle(shuffled)
    assert judge(records, challenge, "riot") == judge(shuffled, challenge, "riot")


@examples(300)
@given(st.lists(activities(), max_size=6), activities(), st.integers(0, 6), simplified_fitness)
def test_a_total_never_falls_by_another_record(
    records: list[Any], more: Any, place: int, rules: dict[str, Any]
) -> None:
    challenge = config(rules={**rules, "period": "total"})
    before = judge(records, challenge)
    after = judge([*records[:place], more, *records[place:]], challenge)
    assert (after.score or 0) >= (before.score or 0)
    assert after.passed or not before.passed


@examples(300)
@given(
    st.lists(activities(), min_size=1, max_size=6),
    st.integers(0, 5),
    st.sampled_from(("distance_km", "duration_min", "steps_count", "sessions")),
    st.integers(0, 20000) | st.floats(0, 100),
    simplified_fitness,
)
def test_a_total_never_falls_when_a_record_measures_more(
    records: list[Any], place: int, quantity: str, more: float, rules: dict[str, Any]
) -> None:
    # With ids of their own: a record that comes to equal another one would count once with it.
    one = [{**record, "activity_id": index} for index, record in enumerate(records)]
    grown = one[place % len(one)]
    before = grown.get(quantity, 1 if quantity == "sessions" else 0) or 0
    other = [{**each, quantity: before + more} if each is grown else each for each in one]
    challenge = config(rules={**rules, "period": "total"})
    assert (judge(other, challenge).score or 0) >= (judge(one, challenge).score or 0)


@examples(300)
@given(
    st.lists(activities(), max_size=6), activities(outside), st.integers(0, 6), fitness_challenges
)
def test_an_activity_outside_the_window_never_changes_a_verdict(
    records: list[Any], late: Any, place: int, challenge: ChallengeConfig
) -> None:
    one = judge(records, challenge)
    other = judge([*records[:place], late, *records[place:]], challenge)
    assert (one.passed, one.score, one.final_when) == (other.passed, other.score, other.final_when)


@examples(200)
@given(
    st.lists(activities(), min_size=1, max_size=6),
    activities(far_outside, ("run", "walk")),
    conditional | full_fitness,
)
def test_an_activity_outside_the_period_never_changes_a_verdict(
    records: list[Any], late: Any, rule: dict[str, Any]
) -> None:
    if not judge(records).passed:  # evidence without a recognised record fails before any rule
        return
    one, other = judge(records, config(rule)), judge([late, *records], config(rule))
    assert (one.passed, one.score, one.final_when) == (other.passed, other.score, other.final_when)


@examples(200)
@given(st.lists(matches(), max_size=6), matches(outside), st.integers(0, 6), gaming_challenges)
def test_a_match_outside_the_window_never_changes_a_verdict(
    records: list[Any], late: Any, place: int, challenge: ChallengeConfig
) -> None:
    one = judge(records, challenge, "riot")
    other = judge([*records[:place], late, *records[place:]], challenge, "riot")
    assert (one.passed, one.score, one.final_when) == (other.passed, other.score, other.final_when)


@examples(200)
@given(
    st.lists(
        st.tuples(st.sampled_from(PROVIDERS), st.lists(activities(), max_size=5)),
        min_size=1,
        max_size=4,
        unique_by=lambda pair: pair[0],
    ),
    fitness_challenges,
    st.randoms(),
)
def test_the_best_of_providers_is_never_lower_than_any_and_knows_no_order(
    rows: list[tuple[str, list[Any]]], challenge: ChallengeConfig, random: Any
) -> None:
    given_rows = [
        evidence(provider, records, NOON + timedelta(minutes=index))
        for index, (provider, records) in enumerate(rows)
    ]
    together = evaluate(given_rows, challenge)
    alone = [evaluate([row], challenge) for row in given_rows]
    assert (together.passed, together.score or 0) == max(
        (each.passed, each.score or 0) for each in alone
    )
    shuffled = list(given_rows)
    random.shuffle(shuffled)
    assert evaluate(shuffled, challenge) == together

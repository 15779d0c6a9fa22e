"""What holds for any evidence and any configuration. ``SOAK_EXAMPLES`` asks for more of them."""

from __future__ import annotations

import json
import os
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightchallenge_dagster.rules.challenge import ChallengeConfig, parse_config
from lightchallenge_dagster.rules.evaluation import EVALUATORS, evaluate, holds_recognised_record
from lightchallenge_dagster.rules.evaluation.models import FullFitness

from .builders import NOON, config, evidence, full, judge, simplified

many = settings(
    max_examples=int(os.environ.get("SOAK_EXAMPLES", "300")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
some = settings(many, max_examples=max(100, many.max_examples // 3))

TIMELINE = {"startsAt": "2026-03-01T00:00:00Z", "endsAt": "2026-03-31T00:00:00Z"}
ZONES = ("Europe/Sofia", "America/New_York", "Asia/Kolkata", "Pacific/Apia")

minutes = st.integers(0, 29 * 24 * 60)
amounts = st.none() | st.integers(0, 20000) | st.floats(0, 100)


@st.composite
def activities(draw: st.DrawFn, inside: bool = True) -> dict[str, Any]:
    opens = datetime(2026, 3, 1, tzinfo=UTC) if inside else datetime(2026, 5, 1, tzinfo=UTC)
    start = opens + timedelta(minutes=draw(minutes))
    record: dict[str, Any] = {
        "type": draw(st.sampled_from(("run", "walk", "Ride", "yoga", "weights", "curling"))),
        "start": start.isoformat(),
    }
    for name in ("distance_km", "duration_min", "steps_count", "calories", "avg_hr_bpm"):
        record[name] = draw(amounts)
    if draw(st.booleans()):
        record["activity_id"] = draw(st.integers(1, 4))
    return record


@st.composite
def matches(draw: st.DrawFn, inside: bool = True) -> dict[str, Any]:
    month = 3 if inside else 5
    opens = int(datetime(2026, month, 1, tzinfo=UTC).timestamp())
    return {
        # Times differ, because matches at one time count in input order.
        "start_time": opens + draw(st.integers(0, 28 * 86400)),
        "match_id": draw(st.integers()),
        "win": draw(st.booleans()),
        "kills": draw(st.integers(0, 30)),
        "deaths": draw(st.integers(0, 3)),
        "assists": draw(st.integers(0, 30)),
        "lobby_type": draw(st.sampled_from((0, 7))),
        "hero_name": draw(st.sampled_from(("Axe", "Void"))),
    }


condition = st.fixed_dictionaries(
    {
        "metric": st.sampled_from(("distance_km", "duration_min", "avg_pace_min_per_km")),
        "op": st.sampled_from((">=", ">", "<=", "<", "==")),
        "value": st.integers(0, 50),
    }
)
daily_condition = st.fixed_dictionaries(
    {
        "metric": st.sampled_from(("distance_km", "duration_min", "steps_count")),
        "op": st.sampled_from((">=", "<=")),
        "value": st.integers(0, 50),
    }
)
full_fitness = st.fixed_dictionaries(
    {
        "challengeType": st.sampled_from(("run", "walk", "cycle")),
        "period": st.builds(
            lambda zone: {"start": "2026-03-01", "end": "2026-03-31", "timezone": zone},
            st.sampled_from(ZONES),
        ),
    },
    optional={
        "conditions": st.lists(condition, max_size=2),
        "dailyTarget": st.fixed_dictionaries(
            {
                "consecutiveDays": st.integers(1, 3),
                "conditions": st.lists(daily_condition, min_size=1, max_size=2),
            }
        ),
        "weeklyTarget": st.fixed_dictionaries(
            {"minOccurrences": st.integers(1, 2), "perWeeks": st.integers(1, 2)}
        ),
        "mode": st.sampled_from(("threshold", "competitive")),
    },
)
simplified_fitness = st.builds(
    simplified,
    st.sampled_from(("steps", "distance_km", "active_minutes", "walking_km", "strength_sessions")),
    st.integers(0, 30000),
    st.sampled_from(("daily", "total", "average")),
    timezone=st.sampled_from(ZONES),
)
fitness_challenges = st.one_of(
    st.builds(lambda rule: config(rule, timeline=TIMELINE), full_fitness),
    st.builds(lambda rules: config(rules=rules, timeline=TIMELINE), simplified_fitness),
    st.just(config(timeline=TIMELINE)),
)
gaming_challenges = st.one_of(
    st.builds(
        lambda rule: config(rule, timeline=TIMELINE),
        st.fixed_dictionaries(
            {"minWins": st.integers(0, 3)},
            optional={
                "streakLength": st.integers(1, 3),
                "rankedOnly": st.booleans(),
                "hero": st.sampled_from(("axe", "id")),
                "mode": st.sampled_from(("threshold", "competitive")),
                "competitiveMetric": st.sampled_from(("wins", "kda", "kills")),
            },
        ),
    ),
    st.builds(
        lambda rules: config(rules=rules, timeline=TIMELINE),
        st.builds(
            simplified,
            st.sampled_from(("wins", "kills", "kda")),
            st.integers(0, 20),
            st.sampled_from(("total", "per_match", "best_match")),
            minMatches=st.integers(0, 3),
        ),
    ),
)


@many
@given(st.lists(activities(), max_size=8), fitness_challenges, st.randoms())
def test_the_order_of_activities_never_matters(
    records: list[Any], challenge: ChallengeConfig, random: Any
) -> None:
    shuffled = list(records)
    random.shuffle(shuffled)
    one, other = judge(records, challenge), judge(shuffled, challenge)
    assert one == other


@many
@given(
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


@many
@given(st.lists(activities(), max_size=6), activities(), st.integers(0, 6), simplified_fitness)
def test_a_total_never_falls_by_another_record(
    records: list[Any], more: Any, place: int, rules: dict[str, Any]
) -> None:
    challenge = config(rules={**rules, "period": "total"})
    before = judge(records, challenge)
    after = judge([*records[:place], more, *records[place:]], challenge)
    assert (after.score or 0) >= (before.score or 0)
    assert after.passed or not before.passed


@many
@given(st.lists(activities(), max_size=6), activities(inside=False), fitness_challenges)
def test_an_activity_outside_the_window_never_changes_a_verdict(
    records: list[Any], outside: Any, challenge: ChallengeConfig
) -> None:
    one, other = judge(records, challenge), judge([outside, *records], challenge)
    assert (one.passed, one.score, one.final_when) == (other.passed, other.score, other.final_when)


@some
@given(st.lists(activities(), min_size=1, max_size=6), activities(inside=False), full_fitness)
def test_an_activity_outside_the_period_never_changes_a_verdict(
    records: list[Any], outside: Any, rule: dict[str, Any]
) -> None:
    challenge = config(rule)
    if not judge(records).passed:  # evidence without a recognised record fails before any rule
        return
    one, other = judge(records, challenge), judge([outside, *records], challenge)
    assert (one.passed, one.score, one.final_when) == (other.passed, other.score, other.final_when)


@some
@given(st.lists(matches(), max_size=6), matches(inside=False), gaming_challenges)
def test_a_match_outside_the_window_never_changes_a_verdict(
    records: list[Any], outside: Any, challenge: ChallengeConfig
) -> None:
    one = judge(records, challenge, "riot")
    other = judge([*records, outside], challenge, "riot")
    assert (one.passed, one.score) == (other.passed, other.score)


@some
@given(
    st.lists(
        st.tuples(st.sampled_from(("apple", "strava", "garmin", "fitbit")), st.lists(activities())),
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


local_days = st.dates(date(2024, 1, 1), date(2027, 12, 31))


@many
@given(
    st.sampled_from(ZONES),
    st.lists(st.tuples(local_days, st.integers(0, 24 * 60 - 1)), min_size=1, max_size=6),
)
def test_days_and_weeks_are_those_of_the_challenges_clock(
    name: str, starts: list[tuple[date, int]]
) -> None:
    zone = ZoneInfo(name)
    moments = [
        datetime.combine(day, time(minute // 60, minute % 60), zone).astimezone(UTC)
        for day, minute in starts
    ]
    # What the wall shows: a local time that a clock change skips is shown as a later one.
    shown = [moment.astimezone(zone) for moment in moments]
    records = [
        {"type": "run", "start": moment.isoformat(), "distance_km": 1, "activity_id": index}
        for index, moment in enumerate(moments)
    ]
    by_day = judge(records, config(rules=simplified("distance_km", 1, "daily", timezone=name)))
    assert by_day.score == len({moment.date() for moment in shown})
    weekly = full(period={"timezone": name}, weeklyTarget={"minOccurrences": 1, "perWeeks": 1})
    assert judge(records, config(weekly)).metadata["weeks_reached"] == len(
        {moment.isocalendar()[:2] for moment in shown}
    )


@pytest.mark.parametrize(
    ("name", "day", "hours"),
    [
        ("Europe/Sofia", "2026-03-29", 23),
        ("Europe/Sofia", "2026-10-25", 25),
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("Asia/Kolkata", "2026-03-29", 24),
        ("Pacific/Apia", "2010-09-25", 24),
        ("Pacific/Apia", "2011-12-29", 24),
    ],
)
def test_a_day_is_as_long_as_the_clocks_make_it(name: str, day: str, hours: int) -> None:
    rule = config(full(period={"start": day, "end": day, "timezone": name})).fitness_rule
    assert isinstance(rule, FullFitness)
    assert rule.period.start is not None
    assert rule.period.end is not None
    length = rule.period.end - rule.period.start + timedelta(microseconds=1)
    assert length == timedelta(hours=hours)
    for moment, counts in (
        (rule.period.start, True),
        (rule.period.start - timedelta(seconds=1), False),
        (rule.period.end, True),
        (rule.period.end + timedelta(seconds=1), False),
    ):
        record = {"type": "run", "start": moment.isoformat()}
        assert judge([record], config(full(period=_period(day, name)))).passed is counts


def _period(day: str, name: str) -> dict[str, str]:
    return {"start": day, "end": day, "timezone": name}


def test_a_run_of_days_crosses_a_clock_change_and_the_day_that_apia_skipped() -> None:
    target = {
        "consecutiveDays": 3,
        "conditions": [{"metric": "distance_km", "op": ">=", "value": 1}],
    }

    def longest(name: str, *starts: str) -> int:
        records = [{"type": "run", "start": start, "distance_km": 1} for start in starts]
        rule = full(period={"timezone": name}, dailyTarget=target)
        return judge(records, config(rule)).metadata["consecutive_days"]

    sofia = ("2026-03-28T23:30:00+02:00", "2026-03-29T00:30:00+02:00", "2026-03-30T00:30:00+03:00")
    assert longest("Europe/Sofia", *sofia) == 3
    # 29 December 2011 was followed by the 31st: one calendar day is missing, the run is broken.
    apia = ("2011-12-29T23:00:00-10:00", "2011-12-31T01:00:00+14:00", "2012-01-01T01:00:00+14:00")
    assert longest("Pacific/Apia", *apia) == 2


VOCABULARY = """
    type run walk start end date start_ts end_ts distance_km duration_s steps gps_path sessions
    activity_id logId match_id win result_for_player kills deaths start_time game_creation
    match_date queue_type hero rules rule params period timezone challengeType conditions
    metric op value threshold dailyTarget weeklyTarget antiCheat consecutiveDays perWeeks
    minOccurrences minGpsContinuity mode competitive topN competitiveMetric minWins
    streakLength rankedOnly daily total average steps_count fitness gaming >= == UTC
    Europe/Sofia 2026-03-01 2026-03-01T10:00:00Z 0001-01-01T00:00:00+14:00
    9999-12-31T23:59:59-14:00 1e400 99999999999999 startsAt endsAt proofDeadline
"""
WORDS = st.sampled_from(VOCABULARY.split())
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from((10**400, -(10**4000), Decimal("1e5000"), 7, 1, 0.5))
    | WORDS
    | st.text(max_size=8)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=6)
    ),
    max_leaves=25,
)


@many
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(EVALUATORS)) | st.text(max_size=6), JSON), max_size=3
    ),
    JSON,
    JSON,
    JSON,
    st.lists(st.text(max_size=4), max_size=2),
)
def test_no_json_makes_evaluation_raise(
    rows: list[tuple[str, Any]], params: Any, proof: Any, timeline: Any, sources: list[str]
) -> None:
    challenge = parse_config(params, proof, timeline)
    verdict = evaluate(
        [evidence(provider, records) for provider, records in rows],
        challenge,
        accepted_sources=sources,
    )
    assert "could not be evaluated" not in " ".join(verdict.reasons)
    assert bool(verdict.reasons) is not verdict.passed
    assert verdict.score is None or verdict.score.is_finite()
    json.dumps(verdict.metadata, allow_nan=False)
    # PostgreSQL's text takes no NUL.
    assert "\0" not in "".join((*verdict.reasons, *verdict.metadata.get("providers", ())))
    for provider, records in rows:
        holds_recognised_record(provider, records)


@some
@given(
    st.lists(st.dictionaries(WORDS, SCALARS, max_size=8), max_size=5),
    st.dictionaries(WORDS, JSON, max_size=5),
    st.sampled_from(("strava", "riot", "manual")),
)
def test_records_and_rules_half_right_never_raise_either(
    records: list[Any], rule: dict[str, Any], provider: str
) -> None:
    for base in (
        {"challengeType": "run", "period": {}},
        {"minWins": 1},
        {"rules": simplified("steps", 1, "total")},
    ):
        verdict = judge(
            [
                {"type": "run", "start": "2026-03-01T10:00:00Z", "win": True} | each
                for each in records
            ],
            parse_config({**base, **rule}, rule, rule),
            provider,
        )
        assert "could not be evaluated" not in " ".join(verdict.reasons)
        json.dumps(verdict.metadata, allow_nan=False)

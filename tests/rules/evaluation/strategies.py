"""Evidence, rules and arbitrary JSON for the properties."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from .builders import config, simplified

TIMELINE = {"startsAt": "2026-03-01T00:00:00Z", "endsAt": "2026-03-31T00:00:00Z"}
OPENS, CLOSES = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC)
"""The window of ``TIMELINE``; the rules' periods lie around it in every zone."""

ZONES = ("Europe/Sofia", "America/New_York", "Asia/Kolkata", "Pacific/Apia")
PROVIDERS = ("apple", "strava", "garmin", "fitbit")

amounts = st.none() | st.integers(0, 20000) | st.floats(0, 100)
minutes = st.integers(0, 29 * 24 * 60) | st.sampled_from((0, 600))
inside = minutes.map(lambda each: OPENS + timedelta(minutes=each))
outside = st.builds(
    lambda before, seconds: (
        OPENS - timedelta(seconds=seconds) if before else CLOSES + timedelta(seconds=seconds)
    ),
    st.booleans(),
    st.integers(1, 90 * 86400),
)
far_outside = outside.map(
    lambda moment: moment + timedelta(days=3) if moment > CLOSES else moment - timedelta(days=3)
)
"""Outside ``MARCH`` in every zone, too."""


@st.composite
def activities(
    draw: st.DrawFn,
    start: st.SearchStrategy[datetime] = inside,
    kinds: tuple[str, ...] = ("run", "run", "walk", "Ride", "weights", "curling"),
) -> dict[str, Any]:
    record: dict[str, Any] = {
        "type": draw(st.sampled_from(kinds)),
        "start": draw(start).isoformat(),
    }
    for name in ("distance_km", "duration_min", "steps_count", "calories", "avg_hr_bpm"):
        record[name] = draw(amounts)
    # One kind of id: a record with two joins records that are no repeats of each other.
    if draw(st.booleans()):
        record["activity_id"] = draw(st.integers(1, 4))
    return record


crowded = activities(st.sampled_from((OPENS, OPENS + timedelta(hours=10))), kinds=("run",))
"""Runs of which many start at the same time."""


@st.composite
def matches(draw: st.DrawFn, start: st.SearchStrategy[datetime] = inside) -> dict[str, Any]:
    return {
        "start_time": int(draw(start).timestamp()),
        "match_id": draw(st.integers()),
        "win": draw(st.booleans()),
        "kills": draw(st.integers(0, 30)),
        "deaths": draw(st.integers(0, 3)),
        "assists": draw(st.integers(0, 30)),
        "lobby_type": draw(st.sampled_from((0, 7))),
        "hero_name": draw(st.sampled_from(("Axe", "Void"))),
    }


def conditions(metrics: tuple[str, ...], ops: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "metric": st.sampled_from(metrics),
            "op": st.sampled_from(ops),
            "value": st.integers(0, 50),
        }
    )


condition = conditions(
    ("distance_km", "duration_min", "avg_pace_min_per_km"), (">=", ">", "<=", "<", "==")
)
daily_condition = conditions(("distance_km", "duration_min", "steps_count"), (">=", "<="))
full_fitness = st.fixed_dictionaries(
    {
        "challengeType": st.sampled_from(("run", "run", "walk", "cycle")),
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
        "antiCheat": st.fixed_dictionaries({"minHrConsistency": st.sampled_from((0, 0.3, 1))}),
        "mode": st.sampled_from(("threshold", "competitive")),
    },
)
conditional = st.builds(
    lambda rule, asked: {**rule, "challengeType": "run", "conditions": asked},
    full_fitness,
    st.lists(condition, min_size=1, max_size=1),
)
"""Full rules that ask something of single runs."""
checked = st.builds(
    lambda rule, least: {**rule, "challengeType": "run", "antiCheat": {"minHrConsistency": least}},
    full_fitness,
    st.sampled_from((0.3, 1)),
)
"""Full rules that suspect runs."""
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
full_gaming = st.fixed_dictionaries(
    {"minWins": st.integers(0, 3)},
    optional={
        "streakLength": st.integers(1, 3),
        "rankedOnly": st.booleans(),
        "hero": st.sampled_from(("axe", "id")),
        "mode": st.sampled_from(("threshold", "competitive")),
        "competitiveMetric": st.sampled_from(("wins", "kda", "kills")),
    },
)
simplified_gaming = st.builds(
    simplified,
    st.sampled_from(("wins", "kills", "kda")),
    st.integers(0, 20),
    st.sampled_from(("total", "per_match", "best_match")),
    minMatches=st.integers(0, 3),
)
gaming_challenges = st.one_of(
    st.builds(lambda rule: config(rule, timeline=TIMELINE), full_gaming),
    st.builds(lambda rules: config(rules=rules, timeline=TIMELINE), simplified_gaming),
)

# ── Arbitrary JSON ──────────────────────────────────────────────────────────────────────────

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
    | st.sampled_from((10**400, -(10**4000), Decimal("1e5000"), 7, 1, 0.5, 10**18, 1e300, 5e-324))
    | st.sampled_from(("\0", "a\0b", "\ud800", '{"', '{"rule": {', "[1", "{}", '{"minWins": 1}'))
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
ODD_NUMBERS = (-1, -0.5, float("nan"), float("inf"), 1e18, 10**30, "5", True, -0.0, 0)
ODD = SCALARS | st.just([]) | st.just({}) | st.just([[]]) | st.just({"metric": {}}) | st.just([7])


@st.composite
def bent(draw: st.DrawFn, good: st.SearchStrategy[Any], most: int = 2) -> Any:
    """Something right in which a few parts are of another type, left out, or text."""
    value = draw(good)
    for _ in range(draw(st.sampled_from((0, 1, most)))):
        places = list(_places(value))
        numbers = [place for place in places if isinstance(_at(value, place), int | float)]
        chosen = numbers if numbers and draw(st.booleans()) else places
        value = _bend(draw, value, draw(st.sampled_from(chosen)))
    return value


def _at(value: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        value = value[key]
    return value


def _places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield here
    inner = value.items() if isinstance(value, dict) else ()
    for key, part in enumerate(value) if isinstance(value, list) else inner:
        yield from _places(part, (*here, key))


def _bend(draw: st.DrawFn, value: Any, place: tuple[Any, ...]) -> Any:
    if not place:
        fate = draw(st.integers(0, 5))
        if isinstance(value, int | float) and fate > 2:
            return draw(st.sampled_from(ODD_NUMBERS))
        return [value] if fate == 0 else json.dumps(value, default=str) if fate == 1 else draw(ODD)
    first, *rest = place
    if not rest and isinstance(value, dict) and draw(st.integers(0, 4)) == 0:
        return {name: part for name, part in value.items() if name != first}
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[first] = _bend(draw, copy[first], tuple(rest))
    return copy


def _record(*required: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {name: fields.pop(name) for name in required}, optional=dict(fields)
    )


starts = st.sampled_from(("2026-03-02T09:00:00Z", "2026-03-02", "2026-03-29T03:30:00"))
ends = st.sampled_from(("2026-03-29T03:31:00Z", "2026-03-30T00:00:00+03:00", "2026-03-29"))
edges = st.sampled_from(("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-03-29"))
epochs = st.sampled_from((1772442000, 1772442000.5, 1774926000))
far_epochs = st.sampled_from((1772442000000, 0, -1, 1e17, 0.5))
few = st.sampled_from((0, 0, 1, 2.5, 9000)) | amounts
points = st.lists(
    st.tuples(st.floats(41, 43), st.floats(-180, 180) | st.integers(22, 23)).map(list), max_size=4
)
fitness_records = _record(
    "type",
    "start",
    "distance_km",
    "duration_min",
    "steps",
    type=st.sampled_from(("run", "run", "hiit", "strength")),
    start=starts,
    end=ends,
    date=starts | edges,
    start_ts=epochs,
    end_ts=st.just(1774926000),
    distance_km=few,
    distance_m=few,
    duration_min=few,
    duration_s=few,
    steps=few,
    calories=few,
    kilojoules=few,
    exercise_minutes=few,
    sessions=few,
    avg_hr_bpm=few,
    gps_path=points,
    activity_id=st.integers(1, 2),
    logId=st.integers(1, 2),
)
gaming_records = _record(
    "win",
    "kills",
    "deaths",
    win=st.booleans(),
    result_for_player=st.sampled_from(("win", "LOSS")),
    start=starts,
    start_time=epochs,
    game_creation=far_epochs,
    kills=few,
    deaths=few,
    assists=few,
    hs_count=few,
    hero_damage=few,
    lobby_type=st.sampled_from((7, 0)),
    queue_type=st.sampled_from(("RANKED_SOLO_5x5", "UNRANKED")),
    hero=st.sampled_from(("Axe", "Void")),
    match_id=st.integers(1, 2),
)
any_condition = conditions(
    (
        "distance_km",
        "duration_min",
        "avg_pace_min_per_km",
        "avg_pace_min_per_km",
        "avg_speed_kmh",
        "avg_hr_bpm",
        "calories",
        "gps_continuity_score",
        "hr_activity_consistency",
        "strength_sessions",
    ),
    (">=", ">", "<=", "<", "=="),
)
limits = st.fixed_dictionaries(
    {},
    optional={
        "start": starts | far_epochs,
        "end": ends | edges,
        "timezone": st.sampled_from(ZONES),
    },
)
any_full_fitness = st.fixed_dictionaries(
    {"challengeType": st.sampled_from(("run", "run", "crossfit")), "period": limits},
    optional={
        "conditions": st.lists(any_condition, min_size=1, max_size=2),
        "dailyTarget": st.fixed_dictionaries(
            {
                "consecutiveDays": st.integers(1, 3),
                "conditions": st.lists(daily_condition, min_size=1, max_size=2),
            }
        ),
        "weeklyTarget": st.fixed_dictionaries(
            {"minOccurrences": st.integers(0, 2), "perWeeks": st.sampled_from((1, 0.5))}
        ),
        "antiCheat": st.fixed_dictionaries(
            {"minGpsContinuity": st.sampled_from((0, 0.5))},
            optional={"maxTeleportJumps": few, "minHrConsistency": few},
        ),
        "mode": st.sampled_from(("threshold", "competitive")),
        "topN": st.integers(0, 2),
        "competitiveMetric": st.sampled_from(("distance_km", "calories")),
    },
)
any_full_gaming = st.builds(
    lambda rule, more: {**rule, **more},
    full_gaming,
    st.fixed_dictionaries(
        {}, optional={"period": limits, "hero": st.sampled_from(("axe", "\0", "\ud800"))}
    ),
)
fitness_params = st.one_of(
    any_full_fitness,
    st.fixed_dictionaries({"rules": simplified_fitness}),
    st.fixed_dictionaries({"rule": any_full_fitness}),
    st.fixed_dictionaries({"rules": simplified_fitness}),
)
gaming_params = st.one_of(
    any_full_gaming,
    st.fixed_dictionaries({"rules": simplified_gaming}),
    st.fixed_dictionaries({"rule": any_full_gaming}),
    st.fixed_dictionaries({"rules": simplified_gaming}),
)
any_timeline = st.fixed_dictionaries(
    {},
    optional={
        "startsAt": starts | far_epochs,
        "endsAt": ends | edges,
        "proofDeadline": epochs.map(str),
        "timezone": st.sampled_from(ZONES),
    },
)

"""What an attacker may submit or configure: scores without bound, and work without bound."""

from __future__ import annotations

import math
import random
import time
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from lightchallenge_dagster.rules.challenge import ChallengeConfig, parse_config
from lightchallenge_dagster.rules.evaluation import anticheat, evaluate
from lightchallenge_dagster.rules.evaluation.metrics import CONDITIONS, Metric
from lightchallenge_dagster.rules.evaluation.numbers import plain
from lightchallenge_dagster.rules.placement import shown

from .builders import NOON, activity, config, evidence, full, judge, match, simplified

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


# ── Work is bounded ─────────────────────────────────────────────────────────────────────────


def shares(*parts: tuple[float, float]) -> list[dict[str, Any]]:
    """Matches with so many kills and deaths."""
    return [match(match_id=n, kills=k, deaths=d) for n, (k, d) in enumerate(parts)]


@pytest.mark.parametrize("period", ["total", "per_match"])
def test_kda_over_very_many_different_deaths_takes_about_a_second(period: str) -> None:
    rng = random.Random(7)
    records = shares(*((rng.randrange(30), rng.random()) for _ in range(100_000)))
    rule = config(rules=simplified("kda", 1, period))
    started = time.process_time()
    verdict = judge(records, rule, "riot")
    assert time.process_time() - started < 5, "seconds on a busy machine"
    assert verdict.passed
    rng.shuffle(records)
    assert judge(records, rule, "riot").metadata == verdict.metadata


def test_thirds_sixths_and_halves_add_up_to_exactly_one() -> None:
    parts = shares((1, 3), (1, 3), (1, 3), (1, 6), (1, 2), (1, 7), (6, 7), (1, 3))
    assert judge(parts, config(rules=simplified("kda", 3, "total")), "riot").passed
    mean = config(rules=simplified("kda", 0.375, "per_match"))
    assert judge(parts, mean, "riot").passed
    assert not judge(parts[:-1], config(rules=simplified("kda", 3, "total")), "riot").passed


def test_the_total_kda_is_the_sum_of_fractions_to_far_more_digits_than_a_score_has() -> None:
    rng = random.Random(11)
    parts = [(rng.randrange(30), rng.choice((0, 0.1, 3, 7, 11, 0.07))) for _ in range(300)]
    exact = sum((Fraction(k) / Fraction(str(d or 1)) for k, d in parts), Fraction(0))
    shown = judge(shares(*parts), config(rules=simplified("kda", 1, "total")), "riot")
    assert shown.metadata["value"] == pytest.approx(float(exact), rel=1e-15)


def asks(metric: str, op: str, value: Any) -> dict[str, Any]:
    return {"metric": metric, "op": op, "value": value}


def test_more_than_fifty_conditions_are_a_malformed_rule() -> None:
    many = [asks("distance_km", ">=", 1)] * 51
    assert parse_config(full(conditions=many[:50]), None, None).problem is None
    assert parse_config(full(conditions=many), None, None).problem == (
        "params.conditions must hold at most 50 conditions, not 51"
    )
    daily = {"consecutiveDays": 1, "conditions": [*many, *many]}
    assert parse_config({"rule": full(dailyTarget=daily)}, None, None).problem == (
        "params.rule.dailyTarget.conditions must hold at most 50 conditions, not 102"
    )


def test_a_gps_path_is_measured_once_however_often_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured: list[float] = []
    distance = anticheat._distance_km

    def counting(*points: float) -> float:
        measured.append(points[0])
        return distance(*points)

    monkeypatch.setattr(anticheat, "_distance_km", counting)
    path = [[42.0, 23.0], [42.001, 23.0], [42.002, 23.0], [43.0, 23.0]]
    rule = full(
        conditions=[asks("gps_continuity_score", ">=", each / 100) for each in range(70)[20:]],
        antiCheat={"minGpsContinuity": 0.9, "maxTeleportJumps": 0},
    )
    records = [activity(day=day, gps_path=path) for day in (2, 3)]
    assert not judge(records, config(rule)).passed
    assert len(measured) == 6


def test_fifty_conditions_read_each_metric_of_a_record_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rule = config(full(conditions=[asks("avg_speed_kmh", ">", n * 10 / 49) for n in range(50)]))
    read: list[object] = []
    metric = CONDITIONS["avg_speed_kmh"]
    reader = metric.read

    def counting(record: Any) -> Any:
        read.append(record)
        return reader(record)

    with monkeypatch.context() as patch:
        patch.setattr(Metric, "read", property(lambda _: counting))
        judge([activity(distance_km=10, duration_min=60)], rule)
    assert len(read) == 3, "once each for the conditions, the score and the reason"


LONGEST = 1100


def test_a_reason_with_many_conditions_is_cut_short_and_says_by_how_many() -> None:
    many = [asks("distance_km", ">=", 100 + n) for n in range(50)]
    (reason,) = judge([activity(distance_km=1)], config(full(conditions=many))).reasons
    assert len(reason) <= LONGEST
    shown = reason.count("at least")
    assert f"and {50 - shown} further conditions" in reason

    daily = config(full(dailyTarget={"consecutiveDays": 9, "conditions": many}))
    for km in (1, 1000):
        (reason,) = judge([activity(distance_km=km)], daily).reasons
        assert len(reason) <= LONGEST
        assert f"and {50 - reason.count('at least')} further conditions" in reason


def test_a_reason_with_many_sources_or_broken_records_is_cut_short() -> None:
    names = [f"source-number-{n}" for n in range(400)]
    row = evidence("strava", [activity()], NOON)
    (reason,) = evaluate([row], None, accepted_sources=names).reasons
    assert len(reason) <= LONGEST
    assert "further sources" in reason

    fields = ("distance_km", "distance_m", "duration_min", "duration_s", "steps_count", "steps")
    fields += ("avg_hr_bpm", "average_heartrate", "max_hr_bpm", "max_heartrate", "elev_gain_m")
    wrong: tuple[Any, ...] = (-1, "x", 1e30)
    records = [activity() | {name: value} for name in fields for value in wrong]
    (reason,) = judge(records).reasons
    assert len(reason) <= LONGEST
    assert "further reasons" in reason


# ── Any number can be shown ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("1e300", "1e+300"),
        ("-12.5e400", "-1.25e+401"),
        ("1e999999999", "1e+999999999"),
        ("1e-300", "1e-300"),
        ("1e-999999999", "1e-999999999"),
        ("0e500", "0"),
        ("1e2", "100"),
        ("1234.5600", "1,234.56"),
        ("7" * 200, f"7.{'7' * 199}e+199"),
        ("1." + "3" * 200, "1." + "3" * 200),
    ],
)
def test_any_finite_score_can_be_shown_with_every_digit(number: str, words: str) -> None:
    assert plain(Decimal(number)) == Decimal(number)
    assert shown(Decimal(number)) == words


# ── One id, however it is written ───────────────────────────────────────────────────────────

HUGE = 2**70
GOOGOL = 10**5000


@pytest.mark.parametrize("name", ["activity_id", "match_id", "logId"])
@pytest.mark.parametrize(
    "same",
    [
        (7, 7.0, "7", " 7", "7\n", Decimal(7), Decimal("7.00"), Decimal("0.7e1")),
        (HUGE, str(HUGE), f" {HUGE} ", Decimal(HUGE)),
        (10**300, 1e300, str(10**300), Decimal("1e300")),
        (7.5, "7.5", Decimal("7.50")),
        (-3, "-3", -3.0),
        (0, "0", 0.0, -0.0),
        ("a", " a", "a "),
        (GOOGOL, GOOGOL),
    ],
)
def test_an_id_is_one_in_whatever_way_it_is_written(name: str, same: tuple[Any, ...]) -> None:
    records = [activity(day=1 + n, **{name: each}) for n, each in enumerate(same)]
    assert judge(records).score == 1
    assert judge([*records, activity(day=20, **{name: "another"})]).score == 2


@pytest.mark.parametrize(
    "different",
    [(7, 8), ("7", "07"), ("a", "A"), (7, 7.5), (HUGE, HUGE + 1), (GOOGOL, GOOGOL + 1), (1, "1a")],
)
def test_different_ids_are_different_records(different: tuple[Any, ...]) -> None:
    records = [activity(activity_id=each) for each in different]
    assert judge(records).score == len(different)


@pytest.mark.parametrize("value", [True, False, {}, {"id": 7}, [], [7], "", "  ", None])
def test_what_is_no_id_leaves_records_to_be_compared_whole(value: Any) -> None:
    one, other = activity(activity_id=value), activity(activity_id=value, distance_km=1)
    assert judge([one, other]).score == 2
    assert judge([one, one, other]).score == 2


@pytest.mark.parametrize("value", [math.inf, math.nan, Decimal("NaN"), Decimal("1e999999")])
def test_odd_numbers_as_ids_stop_nothing(value: Any) -> None:
    assert judge([activity(activity_id=value, day=2), activity(activity_id=8, day=3)]).score == 2

"""One verdict per wallet: which provider counts, who is accepted, when a verdict is final."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from lightchallenge_dagster.rules.challenge import ChainTimes, ChallengeConfig, parse_config
from lightchallenge_dagster.rules.evaluation import (
    FinalWhen,
    evaluate,
    holds_recognised_record,
    is_final,
)
from lightchallenge_dagster.rules.evaluation import verdict as verdict_module

from .builders import NOON, activity, at, config, evidence, full, judge, match, simplified

KM = config(rules=simplified("distance_km", 10, "total"))


def km(*distances: float) -> list[dict[str, Any]]:
    return [activity(day=day, distance_km=each) for day, each in enumerate(distances, start=2)]


def test_the_higher_score_counts_among_providers_that_pass() -> None:
    verdict = evaluate([evidence("strava", km(10)), evidence("garmin", km(11))], KM)
    assert verdict.score == 11
    assert verdict.evidence_hash == "0xgarmin"
    assert verdict.metadata["provider"] == "garmin"
    assert {name: each["score"] for name, each in verdict.metadata["providers"].items()} == {
        "garmin": 11,
        "strava": 10,
    }


def test_a_pass_counts_before_a_fail_with_a_higher_score() -> None:
    steps = config(full(conditions=[{"metric": "distance_km", "op": "<", "value": 5}]))
    verdict = evaluate([evidence("strava", km(9)), evidence("garmin", km(4))], steps)
    assert verdict.passed
    assert verdict.score == 4


def test_the_earlier_evidence_counts_among_equal_scores() -> None:
    late = evidence("apple", km(10), NOON + timedelta(hours=1))
    assert evaluate([late, evidence("strava", km(10))], KM).evidence_hash == "0xstrava"


def test_the_breakdown_of_each_provider_is_kept() -> None:
    rows = [evidence("strava", km(6)), evidence("garmin", km(7, 4, 4))]
    shown = evaluate(rows, KM).metadata
    assert shown["days"] == {"2026-03-02": 7, "2026-03-03": 4, "2026-03-04": 4}
    assert "breakdown" not in shown["providers"]["garmin"]
    assert shown["providers"]["garmin"]["eligible"] == 3
    assert shown["providers"]["strava"]["breakdown"]["days"] == {"2026-03-02": 6}


def test_what_lies_outside_the_period_is_not_counted_as_repeated() -> None:
    shown = judge(
        [*km(5), activity(day=1, distance_km=9) | {"start": "2026-04-02T09:00:00Z"}], config(full())
    ).metadata
    assert (shown["outside_period"], shown["repeated"], shown["eligible"]) == (1, 0, 1)


def test_matches_left_out_are_counted_by_why() -> None:
    rule = config({"period": {"start": at(2), "end": at(9)}, "rankedOnly": True, "hero": "axe"})
    played = [
        match(day=2, ranked=True, hero="Axe"),
        match(day=2, ranked=True, hero="Axe"),
        match(day=3, ranked=True, hero="Void"),
        match(day=4, hero="Axe"),
        match(day=10, ranked=True, hero="Axe"),
    ]
    shown = judge(played, rule, "riot").metadata
    names = ("outside_period", "not_ranked", "other_hero", "repeated", "eligible", "wins")
    assert [shown[name] for name in names] == [1, 1, 1, 1, 1, 1]


def test_a_hero_that_postgresql_cannot_store_is_escaped() -> None:
    verdict = judge([match()], config({"hero": "a\0b\ud800"}), "riot")
    assert "with a\\u0000b\\ud800 is 0" in verdict.reasons[0]
    assert verdict.metadata["hero"] == "a\\u0000b\\ud800"


def test_providers_are_not_added_up() -> None:
    verdict = evaluate([evidence("strava", km(6)), evidence("garmin", km(7))], KM)
    assert not verdict.passed
    assert verdict.score == 7


def test_only_the_latest_row_of_a_provider_counts() -> None:
    old = evidence("strava", km(20))
    new = evidence("Strava", km(5), NOON + timedelta(days=1))
    assert evaluate([new, old], KM).score == 5


def test_a_score_counts_before_none() -> None:
    verdict = evaluate([evidence("peloton", km(6)), evidence("strava", [])], KM)
    assert (verdict.evaluator, verdict.score) == ("fitness", 0)


@pytest.mark.parametrize(
    ("evaluator", "providers"),
    [
        ("fitness", "apple apple_health strava Garmin fitbit googlefit"),
        ("gaming", "opendota riot STEAM faceit"),
        ("passthrough", "manual"),
        ("unknown", "myspace"),
    ],
)
def test_a_verdict_names_its_evaluator(evaluator: str, providers: str) -> None:
    for provider in providers.split():
        verdict = judge([activity()], None, provider)
        assert verdict.evaluator == evaluator
        assert verdict.evidence_hash == f"0x{provider}"


def test_no_evidence_at_all_fails() -> None:
    verdict = evaluate([], KM)
    assert not verdict.passed
    assert verdict.reasons == ("No evidence was submitted.",)


def test_a_provider_the_model_does_not_list_fails_with_that_reason() -> None:
    verdict = evaluate([evidence("strava", km(20))], KM, accepted_sources=["garmin", "apple"])
    assert not verdict.passed
    assert verdict.score is None
    assert verdict.reasons == (
        "Evidence from strava is not accepted; this challenge takes apple_health, garmin.",
    )


@pytest.mark.parametrize(
    ("provider", "listed"), [("apple", "apple_health"), ("APPLE_HEALTH", "Apple")]
)
def test_apple_and_apple_health_are_one_source(provider: str, listed: str) -> None:
    assert evaluate([evidence(provider, km(20))], KM, accepted_sources=[listed]).passed


def test_manual_passes_a_rule_only_when_the_model_lists_it() -> None:
    typed_in = [evidence("manual", [{"won": True}])]
    assert not evaluate(typed_in, KM).passed
    assert evaluate(typed_in, KM, accepted_sources=["manual"]).passed
    assert evaluate(typed_in, None).passed
    assert not evaluate(typed_in, None, accepted_sources=["strava"]).passed
    assert evaluate([evidence("manual", [])], KM).score == 0


def test_manual_passes_no_malformed_rule() -> None:
    malformed = config(rules=simplified("distance_km", "far", "total"))
    verdict = evaluate([evidence("manual", [1])], malformed, accepted_sources=["manual"])
    assert (verdict.passed, verdict.score) == (False, None)
    assert "params.rules.threshold" in verdict.reasons[0]


def test_an_evaluator_error_is_a_failed_verdict_and_stops_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("at 0x5ecret")

    monkeypatch.setattr(verdict_module, "judge_gaming", broken)
    verdict = evaluate([evidence("riot", [match()]), evidence("strava", km(3))], None)
    assert verdict.passed
    failed = verdict.metadata["providers"]["riot"]
    assert not failed["pass"]
    assert failed["score"] is None
    assert "could not be evaluated (ZeroDivisionError)" in failed["reasons"][0]


TIMES = ChainTimes(*(int(datetime(2026, 3, day, tzinfo=UTC).timestamp()) for day in (1, 20, 22)))


def timed(
    rule: dict[str, Any] | None = None, rules: dict[str, Any] | None = None
) -> ChallengeConfig:
    return config(rule, rules=rules, chain=TIMES)


DAILY = {"consecutiveDays": 1, "conditions": [{"metric": "distance_km", "op": ">=", "value": 1}]}
CEILING = {"consecutiveDays": 1, "conditions": [{"metric": "distance_km", "op": "<=", "value": 99}]}


@pytest.mark.parametrize(
    ("challenge", "when"),
    [
        (timed(), "now"),
        (timed(rules=simplified("distance_km", 1, "total")), "now"),
        (timed(rules=simplified("distance_km", 1, "daily")), "now"),
        (timed(rules=simplified("distance_km", 1, "average")), "ends_at"),
        (timed(full()), "now"),
        (timed(full(dailyTarget=DAILY)), "now"),
        (timed(full(dailyTarget=CEILING)), "ends_at"),
        (timed(full(weeklyTarget={"minOccurrences": 1, "perWeeks": 1})), "now"),
        (timed(full(antiCheat={"maxTeleportJumps": 1})), "ends_at"),
        (timed(full(mode="competitive")), "proof_deadline"),
        (timed(rules=simplified("distance_km", 99, "total")), "proof_deadline"),
    ],
)
def test_a_fitness_pass_is_final_when_more_records_cannot_undo_it(
    challenge: ChallengeConfig, when: FinalWhen
) -> None:
    assert judge(km(10), challenge).final_when == when


@pytest.mark.parametrize(
    ("challenge", "when"),
    [
        (timed(), "now"),
        (timed(rules=simplified("wins", 1, "total")), "now"),
        (timed(rules=simplified("kills", 1, "best_match")), "now"),
        (timed(rules=simplified("kills", 1, "per_match")), "ends_at"),
        (timed(rules=simplified("kda", 1, "total")), "ends_at"),
        (timed({"minWins": 1}), "now"),
        (timed({"streakLength": 1}), "now"),
        (timed({"mode": "competitive"}), "proof_deadline"),
        (timed({"minWins": 9}), "proof_deadline"),
    ],
)
def test_a_gaming_pass_is_final_when_more_records_cannot_undo_it(
    challenge: ChallengeConfig, when: FinalWhen
) -> None:
    assert judge([match(kills=3)], challenge, "riot").final_when == when


def test_one_provider_that_stands_is_enough_for_a_final_pass() -> None:
    average = config(rules=simplified("distance_km", 1, "average"))
    both = [evidence("strava", km(10)), evidence("manual", [1])]
    verdict = evaluate(both, average, accepted_sources=["manual", "strava"])
    assert verdict.score == 10
    assert verdict.final_when == "now"


def test_a_verdict_is_final_from_the_end_or_from_the_proof_deadline() -> None:
    average = timed(rules=simplified("distance_km", 1, "average"))
    passing, failing = judge(km(10), average), judge(km(0.5), average)
    running, ended, closed = (datetime(2026, 3, day, tzinfo=UTC) for day in (10, 20, 22))
    assert [is_final(passing, average, now) for now in (running, ended, closed)] == [
        False,
        True,
        True,
    ]
    assert [is_final(failing, average, now) for now in (running, ended, closed)] == [
        False,
        False,
        True,
    ]
    assert is_final(judge(km(10), KM), KM, running)
    assert not is_final(failing, parse_config(None, None, None), closed)
    assert not is_final(failing, None, closed)


@pytest.mark.parametrize(
    ("provider", "records", "holds"),
    [
        ("strava", [activity()], True),
        ("Apple", [{"type": "curling"}, activity()], True),
        ("strava", [{"type": "run"}], False),
        ("strava", [activity(distance_km=-1)], False),
        ("strava", [match()], False),
        ("riot", [match()], True),
        ("riot", [activity()], False),
        ("riot", [], False),
        ("manual", [{}], True),
        ("manual", [], False),
        ("manual", "text", False),
        ("peloton", [activity()], False),
    ],
)
def test_a_recognised_record_sets_the_tie_break_time(
    provider: str, records: object, holds: bool
) -> None:
    assert holds_recognised_record(provider, records) is holds
    summary = judge(records, None, provider).metadata["providers"].popitem()[1]
    assert summary["has_recognised_record"] is holds


def test_metadata_holds_the_breakdown_and_is_json() -> None:
    records = [
        activity(day=2, distance_km=4, activity_id=1),
        activity(day=2, distance_km=4, activity_id=1),
        activity(day=3, distance_km=2.5),
        activity(day=4, distance_km=-1),
        activity(day=4, calories="many"),
        activity(day=4, steps=True),
        activity(day=4, duration_min=float("inf")),
        activity(day=4, hour=9, end="2026-03-04T08:00:00Z"),
        activity(day=4, gps_path=[[91, 0]]),
        activity("curling"),
        {"type": "run"},
        activity(day=1) | {"start": "2026-02-01T00:00:00Z"},
    ]
    verdict = judge(records, timed(rules=simplified("distance_km", 10, "total")))
    assert json.loads(json.dumps(verdict.metadata, allow_nan=False)) == verdict.metadata
    shown = verdict.metadata
    assert shown["days"] == {"2026-03-02": 4, "2026-03-03": 2.5}
    assert (shown["value"], shown["threshold"], shown["eligible"]) == (6.5, 10, 2)
    assert (shown["records"], shown["recognised"], shown["repeated"]) == (12, 4, 1)
    assert shown["outside_challenge"] == 1
    assert shown["rejected"] == {
        "a GPS point is out of range": 1,
        "a record ends before it starts": 1,
        "calories is not a number": 1,
        "distance_km is negative": 1,
        "duration_min is not a number": 1,
        "steps is not a number": 1,
    }
    assert shown["dropped"] == {
        "a record has no start time": 1,
        "the activity type is missing or unknown": 1,
    }


@pytest.mark.parametrize(
    "value", [1e300, Decimal("1e400"), Decimal("1e999999"), pytest.param(10**5000, id="10**5000")]
)
def test_absurd_quantities_are_rejected_at_once(value: Any) -> None:
    assert judge([activity(distance_km=value)]).metadata["rejected"] == {
        "distance_km is impossibly large": 1
    }


@pytest.mark.parametrize("value", [1e-300, Decimal("1e-5000"), Decimal("1e-999999")])
def test_vanishing_quantities_are_nothing(value: Any) -> None:
    assert judge([activity(distance_km=value)], KM).score == 0


def test_null_is_absent() -> None:
    verdict = judge([activity(distance_km=None, distance_m=12000, calories=None)], KM)
    assert verdict.score == 12


def test_of_repeats_that_differ_the_one_that_counts_most_counts_in_any_order() -> None:
    twice = [activity(activity_id=1, distance_km=6), activity(activity_id=1, distance_km=10)]
    assert judge(twice, KM).score == judge(twice[::-1], KM).score == 10


def test_a_record_with_two_ids_joins_its_repeats() -> None:
    chain = [
        activity(day=2, activity_id=1, distance_km=5),
        activity(day=3, activity_id=1, logId=9, distance_km=5),
        activity(day=4, logId=9, distance_km=5),
    ]
    assert judge(chain, KM).score == 5


def test_a_bare_date_is_noon_in_the_challenges_timezone() -> None:
    record = {"type": "run", "date": "2026-03-02", "distance_km": 11}
    apia = config(rules=simplified("distance_km", 1, "total", timezone="Pacific/Apia"))
    assert list(judge([record], apia).metadata["days"]) == ["2026-03-02"]
    assert list(judge([record], KM).metadata["days"]) == ["2026-03-02"]
    full_iso = {**record, "date": "2026-03-01T23:00:00+00:00"}
    assert list(judge([full_iso], apia).metadata["days"]) == ["2026-03-02"]

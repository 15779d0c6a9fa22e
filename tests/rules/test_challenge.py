"""RULES.md, "Where the rule is found"."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from lightchallenge_dagster.rules.challenge import ChainTimes, parse_config, parse_sources
from lightchallenge_dagster.rules.evaluation.models import (
    FullFitness,
    FullGaming,
    SimplifiedFitness,
    SimplifiedGaming,
)

from .evaluation.builders import activity, full, judge, match, simplified

STEPS = simplified("steps", 100, "total")
WINS = simplified("wins", 1, "total")


def instant(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def test_simplified_rules_in_params_come_before_those_in_proof() -> None:
    found = parse_config(
        {"rules": STEPS}, {"params": {"rules": simplified("calories", 5, "daily")}}, None
    )
    assert isinstance(found.fitness_rule, SimplifiedFitness)
    assert found.fitness_rule.path == "params.rules"


def test_simplified_rules_of_the_other_kind_are_passed_over() -> None:
    found = parse_config({"rules": WINS}, {"params": {"rules": STEPS}}, None)
    assert isinstance(found.fitness_rule, SimplifiedFitness)
    assert isinstance(found.gaming_rule, SimplifiedGaming)
    assert found.fitness_rule.path == "proof.params.rules"
    assert found.problem is None


@pytest.mark.parametrize(
    ("params", "proof", "path"),
    [
        (None, {"params": {"rule": full()}}, "proof.params.rule"),
        (None, {"params": full()}, "proof.params"),
        ({"rule": full()}, None, "params.rule"),
        (full(), None, "params"),
        (full("walk"), {"params": full()}, "proof.params"),
        ({"rule": full()}, {"params": {"rule": {"challengeType": "chess"}}}, "params.rule"),
        (None, {"params": json.dumps({"rule": full()})}, "proof.params.rule"),
        (None, json.dumps({"params": json.dumps(full())}), "proof.params"),
        (json.dumps(full()), "not json", "params"),
    ],
)
def test_a_full_rule_is_the_first_that_fits(params: Any, proof: Any, path: str) -> None:
    found = parse_config(params, proof, None)
    assert isinstance(found.fitness_rule, FullFitness)
    assert found.fitness_rule.path == path
    assert found.problem is None


@pytest.mark.parametrize(
    "rule",
    [
        {"minWins": 2},
        {"hero": "axe"},
        {"rankedOnly": False},
        {"period": {"start": "2026-03-01"}},
        {"streakLength": 3},
        {"mode": "competitive"},
    ],
)
def test_a_gaming_rule_has_one_of_its_keys_and_no_challenge_type(rule: dict[str, Any]) -> None:
    assert isinstance(parse_config(rule, None, None).gaming_rule, FullGaming)
    with_type = parse_config({**rule, "challengeType": "run", "period": {}}, None, None)
    assert with_type.gaming_rule is None


def test_the_settings_around_a_fitness_rule_are_no_gaming_rule() -> None:
    found = parse_config(None, {"params": {"rule": full(), "mode": "competitive", "topN": 2}}, None)
    assert found.gaming_rule is None
    assert not judge([match()], found, "opendota").passed


@pytest.mark.parametrize("nothing", [None, {}, [], "", " ", "0xabc", {"rules": {}, "rule": []}])
def test_without_a_rule_the_fallback_judges(nothing: Any) -> None:
    found = parse_config(nothing, nothing, nothing)
    assert not found.has_rule
    assert found.problem is None
    assert judge([activity()], found).passed


def test_mode_top_n_and_metric_are_read_key_by_key() -> None:
    found = parse_config(
        {"rule": {"topN": 9, "competitiveMetric": "distance_km"}, "mode": "threshold"},
        {"params": {"rule": full(topN=None), "mode": "competitive", "topN": 3}},
        None,
    )
    assert (found.mode, found.top_n, found.competitive_metric) == ("competitive", 3, "distance_km")
    assert isinstance(found.fitness_rule, FullFitness)
    assert found.fitness_rule.competitive_metric.name == "distance_km"


def test_one_wallet_wins_unless_top_n_says_more() -> None:
    assert parse_config(full(mode="competitive"), None, None).top_n == 1


@pytest.mark.parametrize("top_n", [0, -1, 1.5, "3", True])
def test_a_top_n_that_is_no_positive_whole_number_is_a_problem(top_n: object) -> None:
    found = parse_config(full(mode="competitive", topN=top_n), None, None)
    assert found.problem is not None
    assert "params.topN" in found.problem


BAD_CONDITION = {"metric": "speed", "op": ">=", "value": 1}
GOOD_CONDITION = {"metric": "distance_km", "op": ">=", "value": 1}


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"rules": simplified("stepz", 1, "total") | {"type": "fitness"}}, "params.rules.metric"),
        ({"rules": simplified("steps", "many", "total")}, "params.rules.threshold"),
        ({"rules": simplified("steps", "5", "total")}, "params.rules.threshold"),
        ({"rules": simplified("steps", True, "total")}, "params.rules.threshold"),
        ({"rules": simplified("steps", None, "total")}, "params.rules.threshold"),
        ({"rules": simplified("steps", float("nan"), "total")}, "params.rules.threshold"),
        ({"rules": simplified("steps", 10**4999, "total")}, "params.rules.threshold"),
        ({"rules": simplified("steps", 1, "weekly")}, "params.rules.period"),
        ({"rules": simplified("steps", 1, "daily", minDays="two")}, "params.rules.minDays"),
        ({"rules": simplified("steps", 1, "daily", timezone="Mars/A")}, "params.rules.timezone"),
        ({"rules": {"metric": "steps", "threshold": 1, "period": "daily"}}, "params.rules.type"),
        ({"rules": {**STEPS, "type": "chess"}}, "params.rules.type"),
        ({"rules": ["run"]}, "params.rules"),
        ({"challengeType": "chess", "period": {}}, "params.challengeType"),
        ({"challengeType": 5, "period": {}}, "params.challengeType"),
        ({"challengeType": "run"}, "params.period"),
        ({"challengeType": "run", "period": "daily"}, "params.period"),
        (full(period={"start": "soon"}), "params.period.start"),
        (full(period={"end": []} | {"end": {"a": 1}}), "params.period.end"),
        (full(period={"timezone": "Mars/Base"}), "params.period.timezone"),
        (full(period={"timezone": "../etc/passwd"}), "params.period.timezone"),
        (full(conditions={"metric": "distance_km"}), "params.conditions"),
        (full(conditions=[7]), "params.conditions[0]"),
        (full(conditions=[GOOD_CONDITION, BAD_CONDITION]), "params.conditions[1].metric"),
        (full(conditions=[{**GOOD_CONDITION, "op": "=>"}]), "params.conditions[0].op"),
        (full(conditions=[{"metric": "distance_km", "op": ">="}]), "params.conditions[0].value"),
        (full(dailyTarget={"consecutiveDays": 2}), "params.dailyTarget.conditions"),
        (full(dailyTarget={"conditions": [GOOD_CONDITION]}), "params.dailyTarget.consecutiveDays"),
        (
            full(
                dailyTarget={
                    "consecutiveDays": 2,
                    "conditions": [{"metric": "calories", "op": ">", "value": 1}],
                }
            ),
            "params.dailyTarget.conditions[0].metric",
        ),
        (full(dailyTarget=[1]), "params.dailyTarget"),
        (full(weeklyTarget={"minOccurrences": 2}), "params.weeklyTarget.perWeeks"),
        (full(weeklyTarget={"perWeeks": 2}), "params.weeklyTarget.minOccurrences"),
        (full(antiCheat={"minGpsContinuity": "high"}), "params.antiCheat.minGpsContinuity"),
        (full(antiCheat={"minimum": 1}), "params.antiCheat"),
        (full(mode="competitive", competitiveMetric="kills"), "params.competitiveMetric"),
        ('{"challengeType": "run",', "params is no valid JSON"),
        ({"rule": [full()]}, "params.rule must be an object"),
        ({"rule": "run 5 km"}, "params.rule must be an object"),
        ({"rule": {"distance": 5}}, "params.rule is no rule"),
        ({"rule": {"conditions": [GOOD_CONDITION]}}, "params.rule.challengeType is missing"),
        ({"period": {"start": "2026-03-01"}, "conditions": [GOOD_CONDITION]}, "params.challenge"),
        ({"rule": {**STEPS}}, "params.rule.period"),
    ],
)
def test_a_malformed_rule_fails_every_evidence_and_names_the_path(params: Any, path: str) -> None:
    found = parse_config(params, None, None)
    assert found.problem is not None
    assert found.problem.startswith(path)
    for provider, records in (("strava", [activity()]), ("opendota", [match()])):
        verdict = judge(records, found, provider)
        assert not verdict.passed
        assert verdict.score is None
        assert path in verdict.reasons[0]


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"rules": simplified("kda", "x", "total")}, "params.rules.threshold"),
        ({"rules": simplified("wins", 1, "daily")}, "params.rules.period"),
        ({"rules": {**WINS, "metric": "steps"}}, "params.rules.metric"),
        ({"minWins": "three"}, "params.minWins"),
        ({"minWins": 1, "period": "weekly"}, "params.period"),
        ({"minWins": 1, "period": {"start": "soon"}}, "params.period.start"),
        ({"minWins": 1, "rankedOnly": "yes"}, "params.rankedOnly"),
        ({"minWins": 1, "hero": 14}, "params.hero"),
        ({"streakLength": "long"}, "params.streakLength"),
        ({"mode": "competitive", "competitiveMetric": "steps_count"}, "params.competitiveMetric"),
    ],
)
def test_a_malformed_gaming_rule_fails_and_names_the_path(params: Any, path: str) -> None:
    verdict = judge([match()], parse_config(params, None, None), "riot")
    assert not verdict.passed
    assert verdict.score is None
    assert path in verdict.reasons[0]


@pytest.mark.parametrize("rule", [{"topN": 3}, {"competitiveMetric": "wins"}, {"hint": None}, ""])
def test_settings_alone_are_no_malformed_rule(rule: object) -> None:
    found = parse_config({"rule": rule, "title": "Run!", "rules": ""}, None, None)
    assert not found.has_rule
    assert found.problem is None


def test_a_rule_without_its_type_is_passed_over_where_another_fits() -> None:
    half = {"rule": {"conditions": [GOOD_CONDITION]}}
    assert parse_config(full(), {"params": half}, None).problem is None
    gaming = parse_config({"rule": {"minWins": 2, "conditions": [1]}}, None, None)
    assert isinstance(gaming.gaming_rule, FullGaming)
    assert gaming.problem is None


def test_empty_parts_are_absent_ones() -> None:
    empty: dict[str, Any] = {
        "conditions": [],
        "dailyTarget": {},
        "weeklyTarget": {},
        "antiCheat": {},
    }
    found = parse_config(full(**empty), None, None)
    assert found.problem is None
    assert judge([activity()], found).passed


def test_a_period_bound_is_in_the_periods_timezone_and_a_day_is_the_whole_day() -> None:
    rule = parse_config(
        full(period={"start": "2026-03-28", "end": "2026-03-29", "timezone": "Europe/Sofia"}),
        None,
        None,
    ).fitness_rule
    assert isinstance(rule, FullFitness)
    assert rule.period.start == instant(2026, 3, 27, 22)
    assert rule.period.end == instant(2026, 3, 29, 20, 59, 59, 999999)  # 23 hours: DST begins


def test_the_timezone_is_the_periods_then_the_rules_then_the_timelines_then_utc() -> None:
    timeline = {"timezone": "Asia/Kolkata"}
    rules = {"rules": {**WINS, "timezone": "Pacific/Apia"}}
    own = {"params": full(period={"timezone": "Europe/Sofia"})}
    none = {"params": full(period={})}
    assert parse_config(rules, own, timeline).timezone == "Europe/Sofia"
    assert parse_config(rules, none, timeline).timezone == "Pacific/Apia"
    assert parse_config(None, none, timeline).timezone == "Asia/Kolkata"
    assert parse_config(None, none, None).timezone == "UTC"
    assert parse_config(None, None, timeline).timezone == "Asia/Kolkata"


END = instant(2026, 3, 31, 18)
END_S = int(END.timestamp())


@pytest.mark.parametrize(
    "value",
    [
        "2026-03-31T18:00:00Z",
        "2026-03-31T21:00:00+03:00",
        "2026-03-31T18:00:00",
        END_S,
        float(END_S),
        str(END_S),
        END_S * 1000,
        str(END_S * 1000),
        Decimal(END_S),
    ],
)
@pytest.mark.parametrize("key", ["endsAt", "endTs", "ends", "end"])
def test_the_timeline_is_iso_or_epoch_seconds_or_milliseconds(key: str, value: object) -> None:
    assert parse_config(None, None, {key: value}).ends_at == END


def test_all_three_times_are_read_also_from_json_text() -> None:
    found = parse_config(
        None,
        None,
        json.dumps({"start": 1772323200, "ends": "2026-03-31", "proofDeadlineAt": END_S}),
    )
    assert found.starts_at == instant(2026, 3, 1)
    assert found.ends_at == instant(2026, 3, 31, 23, 59, 59, 999999)
    assert found.proof_deadline == END


def test_the_chains_times_win_over_the_timeline() -> None:
    found = parse_config(
        None,
        None,
        {"startsAt": "rubbish", "endsAt": "2020-01-01", "proofDeadline": 5},
        ChainTimes(END_S - 60, END_S, END_S + 60),
    )
    assert found.starts_at == instant(2026, 3, 31, 17, 59)
    assert found.ends_at == END
    assert found.proof_deadline == instant(2026, 3, 31, 18, 1)
    assert found.problem is None


def test_a_chain_time_beyond_the_calendar_is_its_last_day() -> None:
    assert parse_config(None, None, None, ChainTimes(0, 2**256, None)).ends_at == instant(
        9998, 12, 31
    )


def test_an_unreadable_timeline_is_a_problem_not_an_open_window() -> None:
    found = parse_config(None, None, {"endsAt": "next week"})
    assert found.problem == 'timeline.endsAt is no time: "next week"'
    assert not judge([activity()], found).passed


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        (["Strava", "apple"], ("strava", "apple")),
        ('["riot"]', ("riot",)),
        ([], ()),
        (None, ()),
        ({"a": 1}, ("(unreadable)",)),
    ],
)
def test_a_models_sources_are_provider_names(sources: object, names: tuple[str, ...]) -> None:
    assert parse_sources(sources) == names


def test_sources_that_name_nobody_accept_nobody() -> None:
    assert parse_sources([7]) != ()

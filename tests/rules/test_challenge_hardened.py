"""Configurations that are half readable: what cannot be read refuses, it never opens a door."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from lightchallenge_dagster.rules.challenge import parse_config, parse_sources
from lightchallenge_dagster.rules.evaluation import evaluate
from lightchallenge_dagster.rules.evaluation.models import FullFitness
from lightchallenge_dagster.rules.evaluation.times import zone

from .evaluation.builders import activity, evidence, full, judge, match, simplified

NOWHERE = ("(unreadable)",)


# ── Time zones ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name",
    [
        *("localtime", "posixrules", "Factory", "posix/Europe/Sofia", "right/Europe/Sofia"),
        *("europe/sofia", "EUROPE/SOFIA", "utc", "Europe", "Europe/Sofia ", "../Europe/Sofia", ""),
        *("/usr/share/zoneinfo/UTC", "Europe/../Europe/Sofia", "zone.tab", "\x00", "\ud800"),
    ],
)
def test_only_the_names_that_iana_gives_are_time_zones(name: str) -> None:
    assert zone(name) is None


@pytest.mark.parametrize(
    "name", ["UTC", "Etc/UTC", "Z", "Europe/Sofia", "America/Argentina/Ushuaia", "US/Eastern"]
)
def test_iana_names_old_ones_and_utc_are_time_zones(name: str) -> None:
    assert zone(name) is not None


@pytest.mark.parametrize("name", ["localtime", "Factory", "right/UTC", "europe/sofia"])
def test_a_zone_of_the_machine_makes_a_rule_malformed(name: str) -> None:
    found = parse_config(full(period={"timezone": name}), None, None)
    assert found.problem == f'params.period.timezone names no known timezone: "{name}"'


# ── Accepted sources ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("sources", [None, [], {}, "", "  ", "[]", "{}", "null", '""', '"[]"'])
def test_nothing_listed_is_no_restriction(sources: Any) -> None:
    assert parse_sources(sources) == ()


@pytest.mark.parametrize(
    "sources", ["strava", " Strava ", '"strava"', ["strava"], '["STRAVA"]', '"[\\"strava\\"]"']
)
def test_a_text_means_that_one_name(sources: Any) -> None:
    assert parse_sources(sources) == ("strava",)


def test_empty_and_odd_names_among_others_are_dropped() -> None:
    assert parse_sources(["", "strava", " ", 7, None, "GARMIN"]) == ("strava", "garmin")


@pytest.mark.parametrize(
    "sources",
    [
        *({"strava": True}, '{"strava": true}', 7, 0, 1.5, True, False, "7", "true", "false"),
        *([7], [None], [[]], [["strava"]], [""], ["", "  "], '[""]', [{"name": "strava"}]),
    ],
)
def test_any_other_shape_accepts_nobody_and_says_so(sources: Any) -> None:
    assert parse_sources(sources) == NOWHERE
    verdict = evaluate([evidence("strava", [activity()])], None, accepted_sources=NOWHERE)
    assert (verdict.passed, verdict.score) == (False, None)
    assert verdict.reasons == (
        "Evidence from strava is not accepted: the sources that this challenge takes cannot be "
        "read.",
    )


# ── Rules as text ───────────────────────────────────────────────────────────────────────────

BOM = "\ufeff"
WINS = simplified("wins", 3, "total")


def placed(place: str, value: object) -> dict[str, Any]:
    """``value`` at one of the places that a rule is looked for in."""
    for name in reversed(place.split(".")[1:]):
        value = {name: value}
    return {place.split(".")[0]: value}


def found_at(place: str, value: object) -> Any:
    parts = placed(place, value)
    return parse_config(parts.get("params"), parts.get("proof"), None)


PLACES = ["params", "params.rule", "params.rules", "proof", "proof.params"]
PLACES += ["proof.params.rule", "proof.params.rules"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "write",
    [
        lambda text: text,
        lambda text: f"  {text}\n",
        lambda text: BOM + text,
        lambda text: f" {BOM} {text}",
        json.dumps,
        lambda text: BOM + json.dumps(f"\n{text}"),
        lambda text: json.dumps(BOM + text),
    ],
)
def test_a_rule_is_read_from_json_text_and_from_text_within_text(place: str, write: Any) -> None:
    rule: Any = full("swim")
    if place.endswith("rules"):
        rule = simplified("swimming_km", 1, "total")
    elif place == "proof":
        rule = {"params": rule}
    found = found_at(place, write(json.dumps(rule)))
    assert found.problem is None
    assert found.fitness_rule is not None


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ("run 5 km", 'must be an object, not "run 5 km"'),
        ('"run 5 km"', 'must be an object, not "\\"run 5 km\\""'),
        ("{wins: 3}", 'is no valid JSON: "{wins: 3}"'),
        ('"{wins: 3}"', 'is no valid JSON: "\\"{wins: 3}\\""'),
        (BOM + "{wins: 3}", 'is no valid JSON: "\\ufeff{wins: 3}"'),
        (json.dumps(json.dumps('{"minWins": 3}')), "is no valid JSON: "),
        ("[{}]", 'must be an object, not "[{}]"'),
        *((value, f"must be an object, not {json.dumps(value)}") for value in (7, 0, 1.5)),
        *((value, f"must be an object, not {json.dumps(value)}") for value in (True, False)),
        *((value, f"must be an object, not {json.dumps(value)}") for value in ([1], ["x"], [{}])),
    ],
)
def test_whatever_else_stands_for_a_rule_is_malformed_and_names_the_path(
    place: str, value: object, wrong: str
) -> None:
    found = found_at(place, value)
    assert found.problem is not None
    assert found.problem.startswith(f"{place} {wrong}")
    assert found.has_rule
    for provider, records in (("strava", [activity()]), ("riot", [match()])):
        verdict = judge(records, found, provider)
        assert (verdict.passed, verdict.score) == (False, None)
        assert place in verdict.reasons[0]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("value", [None, {}, [], "", " ", BOM, "{}", "null", '""', '"{}"', "[]"])
def test_nothing_said_is_no_rule(place: str, value: object) -> None:
    found = found_at(place, value)
    assert (found.problem, found.has_rule) == (None, False)
    assert judge([activity()], found).passed


def test_what_cannot_be_read_in_one_place_leaves_a_rule_in_another() -> None:
    found = parse_config("best of luck", {"params": {"rules": WINS}}, None)
    assert found.gaming_rule is not None
    assert found.gaming_problem is None


# ── The ends of the calendar ────────────────────────────────────────────────────────────────

FIRST, LAST = datetime(2, 1, 1, tzinfo=UTC), datetime(9998, 12, 31, tzinfo=UTC)
FOR_EVER = ["9999-12-31", "9999-12-31T23:59:59Z", "9999-01-01T00:00:00+14:00", "9998-12-31"]
FOR_EVER += [253402300799, 253402300799000, "253402300799", 2**64 - 1, 10**17, 1e300]
SINCE_EVER = ["0001-01-01", "0001-01-01T00:00:00Z", "0001-12-31T12:00:00-05:00", "0001-06-01"]
SINCE_EVER += [-62135596800, "-62135596800", -(10**17), -1e300]


@pytest.mark.parametrize(
    ("value", "moment"),
    [*((value, LAST) for value in FOR_EVER), *((value, FIRST) for value in SINCE_EVER)],
)
@pytest.mark.parametrize("name", ["UTC", "Pacific/Apia", "America/Los_Angeles"])
def test_a_bound_at_the_end_of_the_calendar_is_clamped(
    value: object, moment: datetime, name: str
) -> None:
    side = "end" if moment is LAST else "start"
    found = parse_config(full(period={side: value, "timezone": name}), None, None)
    assert found.problem is None
    assert isinstance(found.fitness_rule, FullFitness)
    assert getattr(found.fitness_rule.period, side) == moment
    assert judge([activity(distance_km=1)], found).passed

    side = "endsAt" if moment is LAST else "startsAt"
    timed = parse_config(None, None, {side: value})
    assert timed.problem is None
    assert moment in (timed.starts_at, timed.ends_at)
    assert judge([activity()], timed).passed


@pytest.mark.parametrize(
    "value", ["9999-13-01", "99999-01-01", "0000-01-01", math.inf, math.nan, True, "1e400", [9999]]
)
def test_what_is_no_time_is_not_clamped(value: object) -> None:
    found = parse_config(full(period={"end": value}), None, None)
    assert (found.problem or "").startswith("params.period.end is no time")


def test_a_competition_that_begins_after_the_calendar_counts_nothing() -> None:
    never = parse_config(None, None, {"startsAt": "9999-12-31"})
    assert not judge([activity()], never).passed


# ── Settings and thresholds ─────────────────────────────────────────────────────────────────

MODES = "must be one of threshold, competitive, not"


@pytest.mark.parametrize("mode", ["competitive", " Competitive\n", "COMPETITIVE"])
def test_competitive_in_any_case_is_competitive(mode: str) -> None:
    found = parse_config(full(mode=mode), None, None)
    assert (found.mode, found.problem) == ("competitive", None)


@pytest.mark.parametrize("mode", [None, "", {}, [], "threshold", " Threshold "])
def test_threshold_or_nothing_is_threshold(mode: Any) -> None:
    found = parse_config(full(mode=mode), None, None)
    assert (found.mode, found.problem) == ("threshold", None)


@pytest.mark.parametrize("mode", ["competitve", "ranked", " ", 1, True, ["competitive"], {"a": 1}])
def test_any_other_mode_is_a_problem_of_the_configuration_and_judged_as_threshold(
    mode: Any,
) -> None:
    found = parse_config(None, {"params": {"rule": full(mode=mode)}}, None)
    assert found.mode == "threshold"
    assert found.problem == f"proof.params.rule.mode {MODES} {json.dumps(mode)}"
    assert judge([activity(distance_km=1)], found).passed


def test_what_is_wrong_with_a_rule_is_said_before_what_is_wrong_with_the_mode() -> None:
    found = parse_config({**full("chess"), "mode": "x", "topN": 0}, None, None)
    assert (found.problem or "").startswith("params.challengeType")
    found = parse_config({**full(), "mode": "competitive", "topN": 0}, None, None)
    assert (found.problem or "").startswith("params.topN")


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        (1e30, "is out of range: 1e+30; it must be between -10^30 and 10^30"),
        (-(10**30), f"is out of range: -1{'0' * 30}; it must be between -10^30 and 10^30"),
        (10**400, "is out of range: "),
        (math.inf, "must be a number, not Infinity"),
        ("5", 'must be a number, not "5"'),
        (True, "must be a number, not true"),
        (Decimal("1e31"), "is out of range: 1E+31; "),
    ],
)
def test_a_threshold_out_of_range_says_so(value: object, wrong: str) -> None:
    found = parse_config({"rules": simplified("steps", value, "total")}, None, None)
    assert (found.problem or "").startswith(f"params.rules.threshold {wrong}")


def test_one_match_counts_and_two_matches_count() -> None:
    rule = parse_config({"rules": simplified("wins", 1, "total", minMatches=3)}, None, None)
    records = [match(match_id=1), match(match_id=2)]
    assert judge(records[:1], rule, "riot").reasons == (
        "1 match counts; the challenge asks for at least 3.",
    )
    assert judge(records, rule, "riot").reasons == (
        "2 matches count; the challenge asks for at least 3.",
    )

"""Configurations that are half readable: what cannot be read refuses, it never opens a door."""

from __future__ import annotations

from typing import Any

import pytest

from lightchallenge_dagster.rules.challenge import parse_config, parse_sources
from lightchallenge_dagster.rules.evaluation import evaluate
from lightchallenge_dagster.rules.evaluation.times import zone

from .evaluation.builders import activity, evidence, full

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

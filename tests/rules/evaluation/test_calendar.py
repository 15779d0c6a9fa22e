"""Days and weeks are those of the challenge's clock, across every change of it.

What the clock shows is asked of Polars, whose time zones are not Python's.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.rules.evaluation.models import FullFitness

from ..effort import examples
from .builders import Json, config, full, judge, simplified
from .strategies import ZONES

FIRST, LAST = datetime(2010, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)


def changes(name: str) -> Iterator[datetime]:
    """The days on which the clock of the zone is changed, within a day."""
    zone = ZoneInfo(name)
    days = (FIRST + timedelta(days=day) for day in range((LAST - FIRST).days))
    for one, other in pairwise(days):
        if one.astimezone(zone).utcoffset() != other.astimezone(zone).utcoffset():
            yield one


def local_midnights(name: str) -> st.SearchStrategy[datetime]:
    """Midnights of the zone's ordinary clock."""
    zone = ZoneInfo(name)
    days = st.integers(0, (LAST - FIRST).days - 1)
    return days.map(lambda day: (FIRST + timedelta(days=day)).replace(tzinfo=zone).astimezone(UTC))


def around(name: str) -> st.SearchStrategy[datetime]:
    """Local midnights beside a change of the clock, and the change's own hours."""
    zone = ZoneInfo(name)
    return st.builds(
        lambda change, days, hours: (
            (change + timedelta(days=days)).replace(tzinfo=zone).astimezone(UTC)
            + timedelta(hours=hours)
        ),
        st.sampled_from(CHANGES[name]),
        st.integers(-1, 2),
        st.sampled_from((0, 0, 0, 1, 2, 3)),
    )


def near(anchors: st.SearchStrategy[datetime], minutes: int) -> st.SearchStrategy[datetime]:
    """Instants around the anchors, on the minute or a second beside it."""
    return st.builds(
        lambda anchor, offset, second: anchor + timedelta(minutes=offset, seconds=second),
        anchors,
        st.integers(-minutes, minutes),
        st.sampled_from((-1, 0, 1)),
    )


CHANGES = {name: list(changes(name)) for name in ZONES}
INSTANTS = {
    name: near(local_midnights(name), 1)
    | (near(around(name), 61) | near(around(name), 1) if CHANGES[name] else st.nothing())
    for name in ZONES
}
places = st.sampled_from(ZONES).flatmap(
    lambda name: st.tuples(st.just(name), st.lists(INSTANTS[name], min_size=1, max_size=6))
)


def shown(moments: list[datetime], name: str) -> pl.Series:
    """What the clock on the wall shows."""
    series = pl.Series("shown", moments, dtype=pl.Datetime("us", "UTC"))
    return series.dt.convert_time_zone(name)


def runs(moments: list[datetime]) -> list[Json]:
    return [
        {"type": "run", "start": moment.isoformat(), "distance_km": 1, "activity_id": index}
        for index, moment in enumerate(moments)
    ]


def test_the_clocks_of_the_zones_are_changed() -> None:
    assert {name: len(CHANGES[name]) > 5 for name in ZONES} == {
        "Europe/Sofia": True,
        "America/New_York": True,
        "Asia/Kolkata": False,
        "Pacific/Apia": True,
    }


@examples(300)
@given(places)
def test_a_record_belongs_to_the_day_that_the_clock_shows(
    place: tuple[str, list[datetime]],
) -> None:
    name, moments = place
    rule = config(rules=simplified("distance_km", 1, "daily", timezone=name))
    days = {str(day): 0 for day in sorted(shown(moments, name).dt.date())}
    for day in shown(moments, name).dt.date():
        days[str(day)] += 1
    verdict = judge(runs(moments), rule)
    assert verdict.metadata["days"] == days
    assert verdict.score == len(days)


@examples(300)
@given(places)
def test_a_record_belongs_to_the_iso_week_that_the_clock_shows(
    place: tuple[str, list[datetime]],
) -> None:
    name, moments = place
    clock = shown(moments, name)
    weeks: dict[str, int] = {}
    for year, week in zip(clock.dt.iso_year(), clock.dt.week(), strict=True):
        weeks[f"{year:04d}-W{week:02d}"] = weeks.get(f"{year:04d}-W{week:02d}", 0) + 1
    rule = full(period={"timezone": name}, weeklyTarget={"minOccurrences": 2, "perWeeks": 1})
    verdict = judge(runs(moments), config(rule))
    assert verdict.metadata["weeks"] == weeks
    assert verdict.passed is any(count >= 2 for count in weeks.values())


@examples(300)
@given(places, st.integers(0, 5), st.integers(0, 5), st.integers(-2, 2))
def test_a_period_of_days_holds_what_the_clock_shows_on_those_days(
    place: tuple[str, list[datetime]], first: int, last: int, more: int
) -> None:
    name, moments = place
    days = shown(moments, name).dt.date().to_list()
    start, end = days[first % len(days)], days[last % len(days)] + timedelta(days=more)
    period = {"start": start.isoformat(), "end": end.isoformat(), "timezone": name}
    verdict = judge(runs(moments), config(full(period=period)))
    assert verdict.metadata["in_scope"] == sum(start <= day <= end for day in days)


@examples(300)
@given(places)
def test_days_in_a_row_are_those_of_the_calendar(place: tuple[str, list[datetime]]) -> None:
    name, moments = place
    days = set(shown(moments, name).dt.date())
    longest = max(
        next(n for n in range(1, 9) if day + timedelta(days=n) not in days)
        for day in days
        if day - timedelta(days=1) not in days
    )
    target = {
        "consecutiveDays": 1,
        "conditions": [{"metric": "distance_km", "op": ">=", "value": 1}],
    }
    verdict = judge(runs(moments), config(full(period={"timezone": name}, dailyTarget=target)))
    assert verdict.metadata["consecutive_days"] == longest


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

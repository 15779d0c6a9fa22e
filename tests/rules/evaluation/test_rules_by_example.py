"""RULES.md, one worked example for every shape, metric, operator and reason."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from lightchallenge_dagster.rules.challenge import ChallengeConfig

from .builders import activity, at, config, evidence, full, judge, match, simplified


class Example(NamedTuple):
    """Records of one provider, the rule, and what the verdict is; ``why`` is in the reasons."""

    says: str
    rule: ChallengeConfig | None
    records: Any
    passed: bool
    score: str | None
    why: str = ""
    provider: str = "strava"


def rules(*arguments: Any, **more: Any) -> ChallengeConfig:
    return config(rules=simplified(*arguments, **more))


def contest(metric: str | None = None, **more: Any) -> ChallengeConfig:
    setting = {} if metric is None else {"competitiveMetric": metric}
    return config(full(mode="competitive", **setting, **more))


def games(**rule: Any) -> ChallengeConfig:
    return config(rule)


def condition(metric: str, op: str, value: Any, kind: str = "run", **more: Any) -> ChallengeConfig:
    return config(full(kind, conditions=[{"metric": metric, "op": op, "value": value}], **more))


WALKS = [activity("walk", day, steps_count=steps) for day, steps in ((2, 9000), (3, 11000))]
RUNS = [activity(day=2, distance_km=5.25), activity(day=2, hour=18, distance_km=5)]
NEAR = [[42.0, 23.0], [42.001, 23.0], [42.002, 23.0]]
FAR = [[42.0, 23.0], [42.001, 23.0], [42.5, 23.0]]
STEADY = activity(distance_km=10, duration_min=50, avg_hr_bpm=150, gps_path=NEAR)
TELEPORT = activity(distance_km=10, duration_min=50, avg_hr_bpm=90, gps_path=FAR)

SIMPLIFIED_FITNESS = [
    Example("daily: enough days", rules("steps", 9000, "daily", minDays=2), WALKS, True, "2"),
    Example(
        "daily: too few days",
        rules("steps", 10000, "daily", minDays=2),
        WALKS,
        False,
        "1",
        "1 day reached 10,000 steps; the challenge asks for at least 2. "
        "The best day is 2026-03-03 with 11,000.",
    ),
    Example("daily: one day unless minDays", rules("steps", 10000, "daily"), WALKS, True, "1"),
    Example("daily: a day's records add up", rules("distance_km", 10, "daily"), RUNS, True, "1"),
    Example("total: reached exactly", rules("distance_km", 10.25, "total"), RUNS, True, "10.25"),
    Example(
        "total: just missed",
        rules("distance_km", 10.2500001, "total"),
        RUNS,
        False,
        "10.25",
        "The total is 10.25 km; the challenge asks for at least 10.2500001.",
    ),
    Example(
        "total: 0.1 + 0.2 is 0.3",
        rules("distance_km", 0.3, "total"),
        [activity(distance_km=0.1), activity(day=3, distance_km=0.2)],
        True,
        "0.3",
    ),
    Example("average: over active days", rules("steps", 10000, "average"), WALKS, True, "10000"),
    Example(
        "average: a matching record without the metric is a day with 0",
        rules("steps", 10000, "average"),
        [*WALKS, activity("run", 4)],
        False,
        "6666.67",
        "The average over 3 days is 6,666.666667 steps a day; "
        "the challenge asks for at least 10,000.",
    ),
    Example(
        "no matching record",
        rules("swimming_km", 0, "total"),
        RUNS,
        False,
        "0",
        "Of 2 records, none is of type swim, the only one that counts for swimming_km.",
    ),
    Example("steps from every type", rules("steps", 5, "total"), [activity(steps=5)], True, "5"),
    Example("metres", rules("distance_km", 5, "total"), [activity(distance_m=5000)], True, "5"),
    Example(
        "active_minutes is the stated duration",
        rules("active_minutes", 30, "total"),
        [activity(duration_s=1800)],
        True,
        "30",
    ),
    Example(
        "duration is never end minus start",
        rules("active_minutes", 1, "total"),
        [activity(end=at(2, 11))],
        False,
        "0",
        "The total is 0 active minutes; the challenge asks for at least 1.",
    ),
    Example(
        "a third of a minute is exact: three make one",
        rules("active_minutes", 1, "total"),
        [activity(day=day, duration_s=20) for day in (2, 3, 4)],
        True,
        "1",
    ),
    Example(
        "exercise_time prefers exercise_minutes",
        rules("exercise_time", 50, "total"),
        [activity(exercise_minutes=20, duration_min=90), activity(day=3, duration_min=30)],
        True,
        "50",
    ),
    Example("calories", rules("calories", 500, "total"), [activity(calories=500)], True, "500"),
    Example(
        "kilojoules are 4.184 to the calorie",
        rules("calories", 500, "total"),
        [activity(kilojoules=2092)],
        True,
        "500",
    ),
    *(
        Example(
            f"{metric} is the distance of {kind} only",
            rules(metric, 3, "total"),
            [activity(kind, distance_km=3), activity("run", distance_km=9)],
            True,
            "3",
        )
        for metric, kind in (
            ("walking_km", "walk"),
            ("cycling_km", "ride"),
            ("swimming_km", "openwater"),
            ("hiking_km", "hike"),
            ("rowing_km", "indoor_rowing"),
        )
    ),
    *(
        Example(
            f"{metric} is the minutes of {kind} only",
            rules(metric, 45, "total"),
            [activity(kind, duration_min=45), activity("run", duration_min=60)],
            True,
            "45",
        )
        for metric, kind in (("yoga_min", "pilates"), ("hiit_min", "crossfit"))
    ),
    Example(
        "strength_sessions count records or what they state",
        rules("strength_sessions", 4, "total"),
        [activity("weights", 2), activity("strength", 3, sessions=3), activity("run", 4)],
        True,
        "4",
    ),
    Example(
        "scores are rounded half up",
        rules("distance_km", 1, "total"),
        [activity(distance_km=1.005)],
        True,
        "1.01",
    ),
]

FULL_FITNESS = [
    Example("no parts: one record in scope", config(full()), RUNS, True, "10.25"),
    Example(
        "no parts: none in scope",
        config(full("swim")),
        RUNS,
        False,
        "0",
        "Of 2 records, none is of type swim.",
    ),
    Example(
        "outside the period",
        config(full()),
        [{"type": "run", "start": "2026-04-01T00:00:00Z", "distance_km": 5}],
        False,
        "0",
        "Of 1 record, 1 is of type run, but none lies within the period of the challenge "
        "(from 2026-03-01 00:00 to 2026-03-31 23:59 UTC).",
    ),
    Example(
        "into the period from before",
        config(full()),
        [{"type": "run", "start": "2026-02-28T23:50:00Z", "end": at(1, 0), "distance_km": 5}],
        True,
        "5",
    ),
    Example(
        "condition met by one record", condition("distance_km", ">=", 5.25), RUNS, True, "10.25"
    ),
    Example(
        "condition met by no single record",
        condition("distance_km", ">=", 10),
        RUNS,
        False,
        "10.25",
        "Of 2 run records, none meets the condition: at least 10 km (the highest is 5.25).",
    ),
    Example(
        "all conditions by the same record",
        config(
            full(
                conditions=[
                    {"metric": "distance_km", "op": ">=", "value": 5},
                    {"metric": "avg_hr_bpm", "op": "<=", "value": 150},
                ]
            )
        ),
        [activity(distance_km=5, avg_hr_bpm=160), activity(day=3, distance_km=4, avg_hr_bpm=140)],
        False,
        "9",
        "at most 150 bpm on average (the lowest is 140).",
    ),
    Example(
        "a metric the record lacks fails, whatever the operator",
        condition("avg_hr_bpm", "<", 150),
        RUNS,
        False,
        "10.25",
        "(no record states avg_hr_bpm)",
    ),
    *(
        Example(f"operator {op} {value}", condition("distance_km", op, value), RUNS[:1], ok, "5.25")
        for op, value, ok in (
            (">=", 5.25, True),
            (">", 5.25, False),
            ("<=", 5.25, True),
            ("<", 5.25, False),
            ("==", 5.25, True),
            ("==", 5.2, False),
        )
    ),
    Example(
        "dailyTarget: days in a row, over all types",
        config(
            full(
                dailyTarget={
                    "consecutiveDays": 2,
                    "conditions": [{"metric": "steps_count", "op": ">=", "value": 9000}],
                }
            )
        ),
        [*WALKS, activity("run", 5, steps_count=9500)],
        True,
        "9500",
    ),
    Example(
        "dailyTarget: a day without records breaks the run",
        config(
            full(
                dailyTarget={
                    "consecutiveDays": 3,
                    "conditions": [{"metric": "steps_count", "op": ">=", "value": 9000}],
                }
            )
        ),
        [*WALKS, activity("run", 5, steps_count=9500)],
        False,
        "9500",
        "The longest run of days with at least 9,000 steps is 2 days; "
        "the challenge asks for 3 in a row.",
    ),
    Example(
        "dailyTarget alone: records of any type will do",
        config(
            full(
                dailyTarget={
                    "consecutiveDays": 1,
                    "conditions": [{"metric": "active_minutes", "op": ">=", "value": 30}],
                }
            )
        ),
        [activity("walk", duration_min=30)],
        True,
        "0",
    ),
    Example(
        "dailyTarget: minutes are stated ones",
        config(
            full(
                dailyTarget={
                    "consecutiveDays": 1,
                    "conditions": [{"metric": "duration_min", "op": ">=", "value": 30}],
                }
            )
        ),
        [activity(end=at(2, 12))],
        False,
        "0",
        "Of 1 day with records, none has at least 30 minutes (the highest is 0); "
        "the challenge asks for 1 in a row.",
    ),
    Example(
        "weeklyTarget: two weeks of two, not in a row",
        config(full(weeklyTarget={"minOccurrences": 2, "perWeeks": 2})),
        [activity(day=day, distance_km=1) for day in (2, 8, 16, 22)],
        True,
        "4",
    ),
    Example(
        "weeklyTarget: Sunday and Monday are different weeks",
        config(full(weeklyTarget={"minOccurrences": 2, "perWeeks": 1})),
        [activity(day=8, distance_km=1), activity(day=9, distance_km=1)],
        False,
        "2",
        "0 weeks had at least 2 eligible records (the most in a week is 1); "
        "the challenge asks for 1.",
    ),
    Example(
        "weeklyTarget counts eligible records only",
        condition("distance_km", ">=", 5, weeklyTarget={"minOccurrences": 2, "perWeeks": 1}),
        [activity(day=2, distance_km=5), activity(day=3, distance_km=4)],
        False,
        "9",
        "0 weeks had at least 2",
    ),
    Example(
        "antiCheat kept", config(full(antiCheat={"minGpsContinuity": 1})), [STEADY], True, "10"
    ),
    Example(
        "antiCheat: GPS continuity",
        config(full(antiCheat={"minGpsContinuity": 0.8})),
        [STEADY, TELEPORT],
        False,
        "20",
        "The run of 2026-03-02 09:00 has a GPS continuity of 0.5, below 0.8.",
    ),
    Example(
        "antiCheat: no GPS track proves nothing",
        config(full(antiCheat={"minGpsContinuity": 0.8})),
        [activity(distance_km=5)],
        False,
        "5",
        "has a GPS continuity of 0, below 0.8.",
    ),
    Example(
        "antiCheat: teleport jumps",
        config(full(antiCheat={"maxTeleportJumps": 0})),
        [TELEPORT],
        False,
        "10",
        "has 1 GPS jump, more than 0.",
    ),
    Example(
        "antiCheat: fewer than three points have no jumps",
        config(full(antiCheat={"maxTeleportJumps": 0})),
        [activity(distance_km=5, gps_path=[[0, 0], [50, 50]])],
        True,
        "5",
    ),
    Example(
        "antiCheat: heart rate",
        config(full(antiCheat={"minHrConsistency": 0.5})),
        [TELEPORT],
        False,
        "10",
        "has a heart-rate consistency of 0.3, below 0.5.",
    ),
    Example(
        "antiCheat: unknown heart rate is 0",
        config(full(antiCheat={"minHrConsistency": 0.1})),
        [activity(duration_min=30)],
        False,
        "0",
        "has a heart-rate consistency of 0, below 0.1.",
    ),
]

CONDITION_METRICS = [
    Example(f"{metric} == {value}", condition(metric, "==", value, kind), [record], True, score)
    for metric, value, kind, record, score in (
        ("distance_km", 5, "run", activity(distance_m=5000), "5"),
        ("duration_min", 30, "run", activity(duration_s=1800), "30"),
        ("duration_min", 120, "run", activity(end=at(2, 11)), "120"),
        ("avg_pace_min_per_km", 5, "run", activity(duration_min=50, distance_km=10), "10"),
        ("avg_speed_kmh", 12, "run", activity(duration_min=50, distance_km=10), "10"),
        ("elev_gain_m", 300, "hike", activity("hike", total_elevation_gain=300), "300"),
        ("avg_hr_bpm", 150, "run", activity(average_heartrate=150, distance_km=1), "1"),
        ("max_hr_bpm", 180, "run", activity(max_heartrate=180, distance_km=1), "1"),
        ("steps_count", 900, "walk", activity("walk", steps=900), "900"),
        ("calories", 100, "run", activity(kilojoules=418.4), "100"),
        ("active_minutes", 30, "yoga", activity("yoga", duration_min=30), "30"),
        ("exercise_time", 20, "run", activity(exercise_minutes=20), "20"),
        ("strength_sessions", 2, "strength", activity("weights", sessions=2), "2"),
        ("walking_km", 3, "walk", activity("walk", distance_km=3), "3"),
        ("cycling_km", 3, "cycle", activity("ride", distance_km=3), "3"),
        ("swimming_km", 3, "swim", activity("swim", distance_km=3), "3"),
        ("swim_distance_km", 3, "swim", activity("swim", distance_km=3), "3"),
        ("hiking_km", 3, "hike", activity("hike", distance_km=3), "3"),
        ("rowing_km", 3, "rowing", activity("rowing", distance_km=3), "3"),
        ("yoga_min", 40, "yoga", activity("yoga", duration_min=40), "40"),
        ("hiit_min", 40, "hiit", activity("hiit", duration_min=40), "40"),
        ("crossfit_min", 40, "crossfit", activity("crossfit", duration_min=40), "40"),
        ("gps_continuity_score", 0.5, "run", TELEPORT, "10"),
        ("hr_activity_consistency", 1, "run", STEADY, "10"),
        ("hr_activity_consistency", 0.3, "run", TELEPORT, "10"),
    )
] + [
    Example(f"{metric} is missing", condition(metric, "<", 99999), [record], False, score, "states")
    for metric, record, score in (
        ("avg_pace_min_per_km", activity(duration_min=50, distance_km=0), "0"),
        ("avg_pace_min_per_km", activity(distance_km=10, end=at(2, 12)), "10"),
        ("avg_speed_kmh", activity(duration_min=50), "0"),
        ("active_minutes", activity(end=at(2, 12)), "0"),
        ("swim_distance_km", activity(distance_km=10), "0"),
    )
]

NATURAL_SCORES = [
    Example(f"a {kind} challenge scores {value}", config(full(kind)), [record], True, value)
    for kind, record, value in (
        *(
            (kind, activity(kind, distance_km=4.1234567), "4.123457")
            for kind in ("run", "walk", "hike", "cycle", "swim", "rowing")
        ),
        ("steps", activity("steps", steps=800), "800"),
        ("strength", activity("strength"), "1"),
        ("calories", activity("active_energy", calories=300), "300"),
        ("exercise_time", activity("exercise_time", exercise_minutes=25), "25"),
        ("yoga", activity("yoga", duration_min=30), "30"),
        ("crossfit", activity("workout", duration_s=100), "1.666667"),
    )
] + [
    Example(
        "pace has no sum: the next additive condition scores",
        config(
            full(
                conditions=[
                    {"metric": "avg_pace_min_per_km", "op": "<", "value": 6},
                    {"metric": "elev_gain_m", "op": ">", "value": 10},
                ]
            )
        ),
        [activity(distance_km=10, duration_min=50, elev_gain_m=80)],
        True,
        "80",
    ),
]

COMPETITIVE_FITNESS = [
    Example("steps unless it says so", contest(), [activity(steps=700)], True, "700"),
    *(
        Example(f"by {metric}", contest(metric), [record, record | {"start": at(9)}], True, score)
        for metric, record, score in (
            ("steps_count", activity(steps_count=5), "10"),
            ("distance_km", activity(distance_km=1.5), "3"),
            ("duration_min", activity(duration_s=50), "1.666667"),
            ("active_minutes", activity(duration_min=15), "30"),
            ("elev_gain_m", activity(elev_gain_m=15), "30"),
            ("calories", activity(calories=15), "30"),
            ("exercise_time", activity(exercise_minutes=15), "30"),
        )
    ),
    Example("nothing in scope is 0", contest(), [activity("walk", steps=9)], True, "0"),
    Example(
        "no minutes from end minus start",
        contest("duration_min"),
        [activity(end=at(2, 12))],
        True,
        "0",
    ),
    Example(
        "conditions are not asked",
        contest("distance_km", conditions=[{"metric": "distance_km", "op": ">", "value": 99}]),
        RUNS,
        True,
        "10.25",
    ),
    Example(
        "a breach of antiCheat gives no score",
        contest("distance_km", antiCheat={"maxTeleportJumps": 0}),
        [TELEPORT],
        False,
        None,
        "1 GPS jump",
    ),
    Example(
        "simplified rules give the score, six decimals, and the ranking decides",
        config({"mode": "competitive"}, rules=simplified("distance_km", 100, "total")),
        [activity(distance_km=1.23456789)],
        True,
        "1.234568",
    ),
    Example(
        "no records fail here too", contest(), [], False, "0", "The evidence holds no records."
    ),
]

PLAYED = [
    match(True, 2, match_id=1, kills=10, deaths=2, assists=4, headshots=3, hero_damage=900),
    match(False, 3, match_id=2, kill_count=2, deaths=6, assists=1, hs_count=1, damage_dealt=100),
    match(True, 4, match_id=3, kills=3, deaths=0, assists=2, total_damage_dealt=50),
]


def game(says: str, rule: ChallengeConfig | None, records: Any, *rest: Any) -> Example:
    return Example(says, rule, records, *rest, provider="opendota")


GAMING = [
    game("no rule: one win passes", None, PLAYED, True, "2"),
    game("no rule: no win", None, PLAYED[1:2], False, "0", "There is no win in 1 match;"),
    *(
        game(f"{metric} {period}", rules(metric, threshold, period), PLAYED, passed, score, why)
        for metric, period, threshold, passed, score, why in (
            ("wins", "total", 2, True, "2", ""),
            ("wins", "total", 3, False, "2", "Over 3 matches the total number of wins is 2;"),
            ("wins", "per_match", 0.6, True, "0.67", ""),
            ("wins", "best_match", 1, True, "1", ""),
            ("kills", "total", 15, True, "15", ""),
            ("kills", "per_match", 5, True, "5", ""),
            ("kills", "per_match", 6, False, "5", "Over 3 matches the mean number of kills is 5;"),
            ("kills", "best_match", 10, True, "10", ""),
            (
                "kills",
                "best_match",
                11,
                False,
                "10",
                "highest number of kills in one match is 10",
            ),
            ("headshots", "total", 4, True, "4", ""),
            ("headshots", "per_match", 1, True, "1.33", ""),
            ("headshots", "best_match", 3, True, "3", ""),
            ("kda", "total", 12.5, True, "12.5", ""),
            ("kda", "per_match", 4, True, "4.17", ""),
            ("kda", "best_match", 7, True, "7", ""),
        )
    ),
    game(
        "fewer matches than minMatches",
        rules("wins", 1, "total", minMatches=4),
        PLAYED,
        False,
        "0",
        "3 matches count; the challenge asks for at least 4.",
    ),
    game("minWins", games(minWins=2), PLAYED, True, "2"),
    game(
        "minWins missed",
        games(minWins=3),
        PLAYED,
        False,
        "2",
        "The number of wins is 2; the challenge asks for at least 3 (3 of 3 matches count).",
    ),
    game("minWins is 1 unless it says so", games(hero="axe"), [match(hero="AXE")], True, "1"),
    game(
        "hero is part of any of its names",
        games(minWins=3, hero="void"),
        [
            match(day=2, hero_name="Faceless Void"),
            match(day=3, hero="VOID"),
            match(day=4, champion="Void"),
        ],
        True,
        "3",
    ),
    game(
        "rankedOnly by lobby, queue word or flag",
        games(rankedOnly=True, minWins=4),
        [
            match(day=2, lobby_type=7),
            match(day=3, queue_type="RANKED_SOLO_5x5"),
            match(day=4, ranked=True),
            match(day=5, queue_type="UNRANKED"),
            match(day=6, lobby_type=0),
        ],
        False,
        "3",
        "The number of wins in ranked matches is 3; the challenge asks for at least 4 "
        "(3 of 5 matches count).",
    ),
    game(
        "period, inclusive; a match without a time is inside",
        games(period={"start": at(3), "end": at(4)}, minWins=3),
        [match(day=3), match(day=4), match(day=5), match(day=None)],
        True,
        "3",
    ),
    game(
        "times as ISO, milliseconds or seconds",
        games(period={"start": "2026-03-02", "end": "2026-03-02"}, minWins=4),
        [
            {"win": True, "start": at(2)},
            {"win": True, "match_date": at(2)},
            {"win": True, "game_creation": 1772442000000},
            {"win": True, "start_time": 1772442000},
            {"win": True, "start_time": 1772542000},
        ],
        True,
        "4",
    ),
    game(
        "wins by any of three fields",
        games(minWins=3),
        [{"result_for_player": "WIN"}, {"team_result": "Win"}, {"win": True}, {"win": "true"}],
        True,
        "3",
    ),
    game(
        "streakLength: in time order, and minWins is not asked",
        games(streakLength=2, minWins=9),
        [match(True, 4), match(False, 2), match(True, 3)],
        True,
        "2",
    ),
    game(
        "streakLength: untimed matches come last",
        games(streakLength=3),
        [match(False, None), match(True, 2), match(True, 3)],
        False,
        "2",
        "The longest run of wins is 2; the challenge asks for at least 3",
    ),
    *(
        game(
            f"competitive by {metric}",
            games(mode="competitive", **({} if metric is None else {"competitiveMetric": metric})),
            PLAYED,
            True,
            score,
        )
        for metric, score in (
            (None, "2"),
            ("wins", "2"),
            ("kills", "15"),
            ("assists", "7"),
            ("deaths", "8"),
            ("kda", "2.75"),
            ("damage", "1050"),
        )
    ),
    game(
        "competitive simplified keeps two decimals",
        config({"mode": "competitive"}, rules=simplified("kda", 99, "per_match")),
        PLAYED,
        True,
        "4.17",
    ),
]

WHICH_EVIDENCE = [
    Example("no rule: one recognised record passes", None, RUNS, True, "2"),
    Example("no records", None, [], False, "0", "The evidence holds no records."),
    Example(
        "records that are no list", None, {"a": 1}, False, "0", "The evidence holds no records."
    ),
    Example(
        "none recognised",
        None,
        [activity("curling"), {"type": "run"}, 7, activity(distance_km=-1)],
        False,
        "0",
        "Of 4 records, none can be used: distance_km is negative (1); a record has no start",
    ),
    Example("unknown provider", None, RUNS, False, None, '"peloton"', "peloton"),
    Example("providers in any case", None, RUNS, True, "2", "", "Apple_Health"),
    Example("manual is counted", None, [{"note": "did it"}, "twice"], True, "2", "", "manual"),
    Example("manual is empty", None, [], False, "0", "no records", "manual"),
    Example(
        "manual where there is a rule",
        config(full()),
        RUNS,
        False,
        None,
        "Manual evidence is not accepted",
        "manual",
    ),
    Example(
        "running evidence never passes a gaming challenge",
        games(minWins=1),
        RUNS,
        False,
        None,
        "This challenge asks for gaming evidence",
    ),
    Example(
        "matches never pass a running challenge",
        config(full()),
        PLAYED,
        False,
        None,
        "This challenge asks for fitness evidence",
        "riot",
    ),
    Example(
        "outside the challenge's own time",
        config(full(), timeline={"startsAt": at(10), "endsAt": at(20)}),
        RUNS,
        False,
        "0",
        "Of 2 records, none lies within the time of the challenge.",
    ),
    Example(
        "a repeated activity counts once",
        rules("distance_km", 5, "total"),
        [activity(activity_id=7, distance_km=5), activity(day=3, activity_id="7", distance_km=5)],
        True,
        "5",
    ),
    Example(
        "a record equal in every field counts once",
        rules("distance_km", 9, "total"),
        [RUNS[0], dict(reversed(list(RUNS[0].items())))],
        False,
        "5.25",
        "The total is 5.25",
    ),
]

TABLE = {
    "Simplified fitness rules": SIMPLIFIED_FITNESS,
    "Full fitness rule, threshold mode": FULL_FITNESS,
    "Condition metrics": CONDITION_METRICS,
    "Score in threshold mode": NATURAL_SCORES,
    "Competitive mode": COMPETITIVE_FITNESS,
    "Gaming records": GAMING,
    "Which evidence": WHICH_EVIDENCE,
}


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(example, id=f"{section}: {example.says}")
        for section, examples in TABLE.items()
        for example in examples
    ],
)
def test_the_rules_by_example(example: Example) -> None:
    assert example.rule is None or example.rule.problem is None
    verdict = judge(example.records, example.rule, example.provider)
    assert (verdict.passed, verdict.score) == (
        example.passed,
        None if example.score is None else Decimal(example.score),
    ), verdict.reasons
    assert bool(verdict.reasons) is not verdict.passed
    assert example.why in " ".join(verdict.reasons)


def test_every_evidence_is_stored_with_its_hash_and_evaluator() -> None:
    seen = {
        provider: judge(RUNS, None, provider).evaluator
        for provider in ("apple", "googlefit", "riot", "steam", "faceit", "manual", "myspace")
    }
    assert seen == {
        "apple": "fitness",
        "googlefit": "fitness",
        "riot": "gaming",
        "steam": "gaming",
        "faceit": "gaming",
        "manual": "passthrough",
        "myspace": "unknown",
    }
    assert judge(RUNS).evidence_hash == evidence("strava", []).evidence_hash

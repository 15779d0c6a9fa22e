"""RULES.md by example: every rule shape, metric, operator and sentence, section by section.

``test_examples_complete.py`` holds that none is missing.
"""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from lightchallenge_dagster.rules.challenge import ChallengeConfig, parse_config, parse_sources
from lightchallenge_dagster.rules.evaluation import Verdict, evaluate

from .builders import Json, activity, at, config, evidence, full, match, simplified


class Example(NamedTuple):
    """Records of one provider, the rule, and what the verdict is.

    ``why`` is in the reasons; with ``records`` None there is no evidence at all.
    """

    says: str
    rule: ChallengeConfig | None
    records: Any
    passed: bool
    score: str | None
    why: str = ""
    provider: str = "strava"
    sources: tuple[str, ...] = ()

    def verdict(self) -> Verdict:
        """What the evaluators say, at Python's own limit of depth: libraries of tests raise it."""
        rows = [] if self.records is None else [evidence(self.provider, self.records)]
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(1000)
        try:
            return evaluate(rows, self.rule, accepted_sources=self.sources)
        finally:
            sys.setrecursionlimit(before)


def rules(*arguments: Any, **more: Any) -> ChallengeConfig:
    return config(rules=simplified(*arguments, **more))


def contest(metric: str | None = None, **more: Any) -> ChallengeConfig:
    setting = {} if metric is None else {"competitiveMetric": metric}
    return config(full(mode="competitive", **setting, **more))


def games(**rule: Any) -> ChallengeConfig:
    return config(rule)


def asks(metric: str, op: str, value: Any) -> Json:
    return {"metric": metric, "op": op, "value": value}


def condition(metric: str, op: str, value: Any, kind: str = "run", **more: Any) -> ChallengeConfig:
    return config(full(kind, conditions=[asks(metric, op, value)], **more))


def daily(metric: str, op: str, value: Any, days: int = 1, **more: Any) -> ChallengeConfig:
    target = {"consecutiveDays": days, "conditions": [asks(metric, op, value)]}
    return config(full(dailyTarget=target, **more))


def weekly(occurrences: int, weeks: int, **more: Any) -> ChallengeConfig:
    return config(full(weeklyTarget={"minOccurrences": occurrences, "perWeeks": weeks}, **more))


def honest(**limits: Any) -> ChallengeConfig:
    return config(full(antiCheat=limits))


def game(says: str, rule: ChallengeConfig | None, records: Any, *rest: Any) -> Example:
    return Example(says, rule, records, *rest, provider="opendota")


def deep(levels: int) -> Any:
    """A list in a list in a list, deeper than can be compared."""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


WALKS = [activity("walk", day, steps_count=steps) for day, steps in ((2, 9000), (3, 11000))]
RUNS = [activity(day=2, distance_km=5.25), activity(day=2, hour=18, distance_km=5)]
NEAR = [[42.0, 23.0], [42.001, 23.0], [42.002, 23.0]]
FAR = [[42.0, 23.0], [42.001, 23.0], [42.5, 23.0]]
STEADY = activity(distance_km=10, duration_min=50, avg_hr_bpm=150, gps_path=NEAR)
TELEPORT = activity(distance_km=10, duration_min=50, avg_hr_bpm=90, gps_path=FAR)
PLAYED = [
    match(True, 2, match_id=1, kills=10, deaths=2, assists=4, headshots=3, hero_damage=900),
    match(False, 3, match_id=2, kill_count=2, deaths=6, assists=1, hs_count=1, damage_dealt=100),
    match(True, 4, match_id=3, kills=3, deaths=0, assists=2, total_damage_dealt=50),
]


# fmt: off
# Tables: a line or a few for each example.

EASY, HARD = simplified("distance_km", 1, "total"), simplified("distance_km", 99, "total")
REFUSED = "The rule of this challenge cannot be read: "


def malformed(says: str, params: Any, why: str, **more: Any) -> Example:
    """No score, and a sentence that names the path."""
    return Example(says, parse_config(params, None, None), RUNS, False, None, REFUSED + why, **more)


def placed(place: str, settings: Json, rest: Json) -> ChallengeConfig:
    """A full rule in params, and ``settings`` alone in one of the four places."""
    params, inner = full(**rest), Json()
    if place == "params":
        params |= settings
    elif place == "params.rule":
        params["rule"] = settings
    elif place == "proof.params":
        inner = settings
    else:
        inner["rule"] = settings
    return parse_config(params, {"params": inner}, None)


WHERE_THE_RULE_IS_FOUND = [
    Example(
        "simplified rules in params come before those in proof.params",
        parse_config({"rules": EASY}, {"params": {"rules": HARD}}, None), RUNS, True, "10.25",
    ),
    Example(
        "simplified rules come before a full rule",
        parse_config({"rules": HARD}, {"params": {"rule": full()}}, None), RUNS, False, "10.25",
        "at least 99",
    ),
    Example(
        "proof.params.rule comes before proof.params",
        parse_config(None, {"params": {**full("swim"), "rule": full("run")}}, None), RUNS, True,
        "10.25",
    ),
    Example(
        "proof.params comes before params.rule",
        parse_config({"rule": full("swim")}, {"params": full("run")}, None), RUNS, True, "10.25",
    ),
    Example(
        "params.rule comes before params",
        parse_config({**full("swim"), "rule": full("run")}, None, None), RUNS, True, "10.25",
    ),
    Example(
        "the first that fits: an unknown challengeType is passed over",
        parse_config({"rule": full()}, {"params": {"rule": full("chess")}}, None), RUNS, True,
        "10.25",
    ),
    Example(
        "params as JSON text",
        parse_config(
            '{"rules": {"type": "fitness", "metric": "distance_km", "threshold": 10.25, '
            '"period": "total"}}',
            None,
            None,
        ),
        RUNS, True, "10.25",
    ),
    Example("no rule: one recognised record passes, score = their count", None, RUNS, True, "2"),
    game("no rule: one win passes, score = wins", None, PLAYED, True, "2"),
    game(
        "no rule: no win",
        None, PLAYED[1:2], False, "0",
        "There is no win in 1 match; the challenge asks for at least 1.",
    ),
    Example("an empty part is an absent one", config({}, rules={}), RUNS, True, "2"),
    Example(
        "running evidence never passes a gaming challenge",
        games(minWins=1), RUNS, False, None,
        "This challenge asks for gaming evidence; this is fitness evidence.",
    ),
    game(
        "matches never pass a running challenge",
        config(full()), PLAYED, False, None,
        "This challenge asks for fitness evidence; this is gaming evidence.",
    ),
    malformed("text that is no JSON", '{"rules": {', 'params is no valid JSON: "{\\"rules\\": {".'),
    malformed(
        "rules that are no object", {"rules": [1]}, "params.rules must be an object, not [1]."
    ),
    malformed(
        "rules of an unknown type",
        {"rules": EASY | {"type": "chess"}},
        'params.rules.type must be "fitness" or "gaming", not "chess".',
    ),
    malformed(
        "rules without anything known",
        {"rules": {"steps": 9}}, 'params.rules.type is missing; it must be "fitness" or "gaming".',
    ),
    malformed(
        "a rule without anything known",
        {"rule": {"distance": 5}},
        "params.rule is no rule: it has neither challengeType nor any of minWins, hero, "
        "rankedOnly, streakLength, mode, period.",
    ),
    malformed(
        "an unknown metric",
        {"rules": EASY | {"metric": "naps"}},
        "params.rules.metric must be one of steps, distance_km, active_minutes, exercise_time, "
        "calories, walking_km, cycling_km, swimming_km, hiking_km, rowing_km, yoga_min, hiit_min, "
        'strength_sessions, not "naps".',
    ),
    malformed(
        "an unknown period",
        {"rules": EASY | {"period": "weekly"}},
        'params.rules.period must be one of daily, total, average, not "weekly".',
    ),
    malformed(
        "a threshold that is no number",
        {"rules": EASY | {"threshold": "5"}}, 'params.rules.threshold must be a number, not "5".',
    ),
    malformed(
        "a threshold that no evidence could mean",
        {"rules": EASY | {"threshold": 1e30}},
        "params.rules.threshold is out of range: 1e+30; it must be between -10^30 and 10^30.",
    ),
    malformed(
        "a threshold that is missing",
        {"rules": {"type": "fitness", "metric": "steps", "period": "total"}},
        "params.rules.threshold is missing; it must be a number.",
    ),
    malformed(
        "an unknown timezone",
        full(period={"timezone": "Mars/Base"}),
        'params.period.timezone names no known timezone: "Mars/Base".',
    ),
    malformed(
        "a bound that is no time",
        full(period={"start": "soon"}), 'params.period.start is no time: "soon".',
    ),
    malformed(
        "an unknown challengeType, told to evidence of either kind",
        full("chess"), 'params.challengeType is no known activity type: "chess".', provider="riot",
    )._replace(records=PLAYED),
    malformed(
        "parts of a fitness rule without challengeType",
        {"rule": {"conditions": [asks("distance_km", ">=", 5)]}},
        "params.rule.challengeType is missing; it must be a known activity type.",
    ),
    malformed(
        "challengeType without period",
        {"challengeType": "run"}, "params.period is missing; it must be an object.",
    ),
    malformed(
        "conditions that are no list",
        full(conditions={"metric": "steps_count"}),
        'params.conditions must be a list, not {"metric": "steps_count"}.',
    ),
    malformed(
        "more conditions than a rule may have",
        full(conditions=[asks("steps_count", ">=", 5)] * 51),
        "params.conditions must hold at most 50 conditions, not 51.",
    ),
    Example(
        "a reason does not show every one of very many conditions",
        config(full(conditions=[asks("distance_km", ">=", 90)] * 50)), RUNS, False, "10.25",
        "(the highest is 5.25) … and 30 further conditions.",
    ),
    malformed(
        "a condition that is no object",
        full(conditions=[5]), "params.conditions[0] must be an object, not 5.",
    ),
    malformed(
        "an unknown operator",
        full(conditions=[asks("steps_count", "=>", 5)]),
        'params.conditions[0].op must be one of >=, >, <=, <, ==, not "=>".',
    ),
    malformed(
        "a dailyTarget without conditions",
        full(dailyTarget={"consecutiveDays": 3}), "params.dailyTarget.conditions is missing.",
    ),
    malformed(
        "a weeklyTarget without perWeeks",
        full(weeklyTarget={"minOccurrences": 3}),
        "params.weeklyTarget.perWeeks is missing; it must be a number.",
    ),
    malformed(
        "an antiCheat that asks nothing",
        full(antiCheat={"strict": True}),
        "params.antiCheat asks none of minGpsContinuity, maxTeleportJumps and minHrConsistency.",
    ),
    malformed(
        "a competitive metric of the other kind",
        full(mode="competitive", competitiveMetric="kills"),
        "params.competitiveMetric must be one of steps_count, distance_km, duration_min, "
        'active_minutes, elev_gain_m, calories, exercise_time, not "kills".',
    ),
    malformed(
        "rankedOnly that is neither true nor false",
        {"rankedOnly": "yes"}, 'params.rankedOnly must be true or false, not "yes".',
        provider="riot",
    )._replace(records=PLAYED),
    malformed(
        "a hero without a name",
        {"hero": 14}, "params.hero must be a name, not 14.", provider="riot",
    )._replace(records=PLAYED),
    Example(
        "a mode that is neither is a problem of the configuration, and judged as threshold",
        config(full(mode="ranked")), RUNS, True, "10.25",
    ),
    Example(
        "a topN that is no positive whole number is a problem of the ranking, not of the evidence",
        contest(topN=0), [activity(steps=5)], True, "5",
    ),
    *(
        Example(
            f"{' and '.join(settings)} read from {place}",
            placed(place, settings, rest), [activity(distance_km=7, steps=70)], True, score,
        )
        for place in ("proof.params.rule", "proof.params", "params.rule", "params")
        for settings, rest, score in (
            ({"mode": "competitive"}, {}, "70"),
            ({"competitiveMetric": "distance_km"}, {"mode": "competitive"}, "7"),
        )
    ),
    Example(
        "the period's timezone comes first: that evening is the next day in Apia",
        parse_config(
            {"rules": {}},
            {"params": full(period={"start": "2026-03-03", "timezone": "Pacific/Apia"})},
            {"timezone": "UTC"},
        ),
        [activity(day=2, hour=20, distance_km=5)], True, "5",
    ),
    Example(
        "a bound without an offset is in the period's timezone",
        config(full(period={"start": "2026-03-02T11:00", "timezone": "Europe/Sofia"})),
        [activity(day=2, hour=9, distance_km=5)], True, "5",
    ),
    Example(
        "a date-only bound covers the whole day",
        config(full(period={"start": "2026-03-02", "end": "2026-03-02"})),
        [
            {"type": "run", "start": start, "distance_km": 1}
            for start in ("2026-03-02T00:00:00Z", "2026-03-02T23:59:59.999Z")
        ],
        True, "2",
    ),
    Example(
        "a missing bound is open",
        config(full(period={"end": "2026-03-02"})),
        [{"type": "run", "start": "1999-01-01T00:00:00Z", "distance_km": 1}], True, "1",
    ),
    *(
        Example(
            f"timeline.{key} as {value!r}",
            config(full(), timeline={key: value}),
            [activity(day=day, distance_km=day) for day in (9, 10, 11)], True, score,
        )
        for keys, score in (
            (("startsAt", "startTs", "starts", "start"), "21"),
            (("endsAt", "endTs", "ends", "end"), "19"),
        )
        for key in keys
        for value in (at(10), 1773133200, "1773133200", 1773133200000, "1773133200000")
    ),
]

WHICH_EVIDENCE = [
    Example(
        "sources that cannot be read accept nobody",
        None, RUNS, False, None,
        "Evidence from strava is not accepted: the sources that this challenge takes cannot be "
        "read.",
        sources=parse_sources([""]),
    ),
    Example("no evidence at all", None, None, False, "0", "No evidence was submitted."),
    Example("no records", None, [], False, "0", "The evidence holds no records."),
    Example(
        "no records, in competitive mode too",
        contest(), [], False, "0", "The evidence holds no records.",
    ),
    Example("no list of records", None, {"a": 1}, False, "0", "The evidence holds no records."),
    Example(
        "text instead of records",
        None, "[[[[", False, "0",
        "The evidence cannot be read: it is text, or nested too deeply, not a list of records.",
    ),
    Example(
        "none recognised, before any rule is asked",
        config(full("chess")), [activity("curling"), {"type": "run"}, 7, activity(steps=-1)], False,
        "0",
        "Of 4 records, none can be used: steps is negative (1); a record has no start time (1); "
        "a record is not an object (1); the activity type is missing or unknown (1).",
    ),
    game(
        "no record of a match",
        None, [{"start": at(2)}, 7], False, "0",
        "Of 2 records, none can be used: a record is not an object (1); "
        "a record says nothing of a match (1).",
    ),
    *(
        Example(
            f"{name} is judged as {kind} evidence",
            None, PLAYED if kind == "gaming" else RUNS, True, score, "", name,
        )
        for kind, names, score in (
            ("fitness", "apple apple_health strava garmin fitbit googlefit", "2"),
            ("gaming", "opendota riot steam faceit", "2"),
        )
        for name in names.split()
    ),
    Example("providers in any case", None, RUNS, True, "2", "", "Apple_Health"),
    Example(
        "any other provider",
        None, RUNS, False, None, 'No evaluator knows the provider "peloton".', "peloton",
    ),
    Example("manual is counted", None, [{"note": "did it"}, "twice"], True, "2", "", "manual"),
    Example("manual without records", config(full()), [], False, "0", "no records", "manual"),
    Example(
        "manual where there is a rule",
        config(full()), RUNS, False, None,
        "Manual evidence is not accepted: this challenge has a rule, and its model does not list "
        "manual.",
        "manual",
    ),
    Example(
        "manual where the model lists it",
        config(full()), RUNS, True, "2", "", "manual", ("manual",),
    ),
    Example(
        "a provider that the model does not list",
        None, RUNS, False, None,
        "Evidence from strava is not accepted; this challenge takes apple_health, garmin.",
        "strava", ("garmin", "apple"),
    ),
    Example(
        "apple and apple_health are one", None, RUNS, True, "2", "", "apple", ("apple_health",)
    ),
    Example(
        "an evaluator error is a failed verdict",
        None, [activity(deep=deep(9000)), activity(deep=deep(9000))], False, None,
        "The evidence could not be evaluated (RecursionError); please tell support.",
    ),
    Example(
        "outside the challenge's own time",
        config(full(), timeline={"startsAt": at(10), "endsAt": at(20)}), RUNS, False, "0",
        "Of 2 records, none lies within the time of the challenge.",
    ),
    Example(
        "the challenge's own time is inclusive",
        config(full(), timeline={"startsAt": at(2, 18), "endsAt": at(2, 18)}), RUNS, True, "5",
    ),
    Example(
        "a timeline that is no time",
        config(full(), timeline={"endsAt": "next week"}), RUNS, False, None,
        'timeline.endsAt is no time: "next week"',
    ),
    *(
        Example(
            f"an invalid record: {why}",
            None, [record], False, "0", f"Of 1 record, none can be used: {why} (1).",
        )
        for record, why in (
            (activity(distance_km=-0.1), "distance_km is negative"),
            (activity(duration_s="60"), "duration_s is not a number"),
            (activity(steps=True), "steps is not a number"),
            (activity(calories=float("nan")), "calories is not a number"),
            (activity(calories=float("inf")), "calories is not a number"),
            (activity(distance_m=10**18), "distance_m is impossibly large"),
            (activity(distance_km=5, distance_m=-1), "distance_m is negative"),
            (activity(end=at(2, 8)), "a record ends before it starts"),
            (activity(gps_path=[[90.5, 0]]), "a GPS point is out of range"),
            (activity(gps_path=[[0, -180.5]]), "a GPS point is out of range"),
            (
                activity(gps_path=[[0, "east"]]),
                "gps_path holds something that is not a [lat, lon] point",
            ),
            (activity(gps_path=[5]), "gps_path holds something that is not a [lat, lon] point"),
            (activity(gps_path="none"), "gps_path is not a list of points"),
        )
    ),
    game(
        "an invalid match",
        None, [match(deaths=-1)], False, "0",
        "Of 1 record, none can be used: deaths is negative (1).",
    ),
    Example(
        "null is absent",
        rules("distance_km", 5, "total"), [activity(distance_km=None, distance_m=5000)], True, "5",
    ),
    *(
        Example(
            f"a record with the same {name} counts once",
            rules("distance_km", 5, "total"),
            [activity(distance_km=5, **{name: 7}), activity(day=3, distance_km=5, **{name: "7"})],
            True, "5",
        )
        for name in ("activity_id", "match_id", "logId")
    ),
    Example(
        "a record equal in every field counts once",
        rules("distance_km", 9, "total"), [RUNS[0], dict(reversed(list(RUNS[0].items())))], False,
        "5.25", "The total is 5.25 km",
    ),
]

ALIASES = {
    "run": "run virtualrun trail_run trailrun running VirtualRun",
    "walk": "walk walking distance",
    "hike": "hike hiking trail mountaineering",
    "cycle": "cycle cycling bike ride virtualride ebikeride mountainbikeride gravelride",
    "swim": "swim swimming openwater openwatersw",
    "strength": "strength weighttraining weight_training weights strength_training "
    "functional_training",
    "yoga": "yoga pilates flexibility",
    "hiit": "hiit crossfit crosstraining cross_training highintensityintervaltraining "
    "mixed_cardio mixedcardio workout circuit_training",
    "rowing": "rowing rowing_machine indoor_rowing indoorrowing virtualrowing",
    "exercise_time": "exercise_time",
    "calories": "calories active_energy calorie_burn",
    "steps": "steps",
}

FITNESS_RECORDS = [
    *(
        Example(
            f"{name} is {kind}",
            condition("steps_count", "==", 5, kind), [activity(name, steps=5)], True, "5",
        )
        for kind, names in ALIASES.items()
        for name in names.split()
    ),
    Example(
        "crossfit in a rule is hiit",
        condition("steps_count", "==", 5, "crossfit"), [activity("hiit", steps=5)], True, "5",
    ),
    *(
        Example(
            f"{first} wins over {second}",
            condition(metric, "==", value),
            [activity(**{"distance_km": 1, first: given, second: 7777})], True, score,
        )
        for first, second, metric, given, value, score in (
            ("distance_km", "distance_m", "distance_km", 5, 5, "5"),
            ("duration_min", "duration_s", "duration_min", 30, 30, "30"),
            ("steps_count", "steps", "steps_count", 9, 9, "9"),
            ("avg_hr_bpm", "average_heartrate", "avg_hr_bpm", 150, 150, "1"),
            ("max_hr_bpm", "max_heartrate", "max_hr_bpm", 150, 150, "1"),
            ("elev_gain_m", "total_elevation_gain", "elev_gain_m", 20, 20, "20"),
            ("calories", "kilojoules", "calories", 300, 300, "300"),
        )
    ),
    *(
        Example(
            f"{name} alone",
            condition(metric, "==", value), [activity(**{"distance_km": 1, name: given})], True,
            score,
        )
        for name, metric, given, value, score in (
            ("duration_s", "duration_min", 90, 1.5, "1.5"),
            ("steps", "steps_count", 9, 9, "9"),
            ("average_heartrate", "avg_hr_bpm", 150, 150, "1"),
            ("max_heartrate", "max_hr_bpm", 150, 150, "1"),
            ("total_elevation_gain", "elev_gain_m", 20, 20, "20"),
            ("kilojoules", "calories", 4.184, 1, "1"),
        )
    ),
    Example(
        "metres", condition("distance_km", "==", 5.001), [activity(distance_m=5001)], True, "5.001"
    ),
    Example(
        "start wins over start_ts, and end over end_ts",
        config(full(period={"start": at(2), "end": at(2)})),
        [activity(day=2, start_ts=1, end=at(2), end_ts=2, distance_km=1)], True, "1",
    ),
    Example(
        "start_ts and end_ts are epoch seconds, mixed with either shape",
        condition("duration_min", "==", 60),
        [{"type": "run", "start_ts": 1772442000, "end": at(2, 10)}], True, "60",
    ),
    Example(
        "a day is local noon of that day",
        config(
            full(
                period={
                    "start": "2026-03-02T12:00",
                    "end": "2026-03-02T12:00",
                    "timezone": "Pacific/Apia",
                }
            )
        ),
        [{"type": "run", "date": "2026-03-02", "distance_km": 1}], True, "1",
    ),
    Example(
        "date may be full ISO",
        config(full(period={"start": at(2), "end": at(2)})),
        [{"type": "run", "date": at(2), "distance_km": 1}], True, "1",
    ),
    Example(
        "without an end, end = start", condition("duration_min", "==", 0), [activity()], True, "0"
    ),
    Example(
        "a timestamp without an offset is UTC",
        config(full(period={"start": at(2), "end": at(2)})),
        [{"type": "run", "start": "2026-03-02T09:00:00", "distance_km": 1}], True, "1",
    ),
]

SIMPLIFIED_FITNESS = [
    Example("daily: enough days", rules("steps", 9000, "daily", minDays=2), WALKS, True, "2"),
    Example(
        "daily: too few days",
        rules("steps", 10000, "daily", minDays=2), WALKS, False, "1",
        "1 day reached 10,000 steps; the challenge asks for at least 2. "
        "The best day is 2026-03-03 with 11,000.",
    ),
    Example("daily: one day unless minDays", rules("steps", 10000, "daily"), WALKS, True, "1"),
    Example("daily: a day's records add up", rules("distance_km", 10, "daily"), RUNS, True, "1"),
    Example("total: reached exactly", rules("distance_km", 10.25, "total"), RUNS, True, "10.25"),
    Example(
        "total: just missed",
        rules("distance_km", 10.2500001, "total"), RUNS, False, "10.25",
        "The total is 10.25 km; the challenge asks for at least 10.2500001.",
    ),
    Example(
        "total: 0.1 + 0.2 is 0.3",
        rules("distance_km", 0.3, "total"),
        [activity(distance_km=0.1), activity(day=3, distance_km=0.2)], True, "0.3",
    ),
    Example("average: over active days", rules("steps", 10000, "average"), WALKS, True, "10000"),
    Example(
        "average: a matching record without the metric is a day with 0",
        rules("steps", 10000, "average"), [*WALKS, activity("run", 4)], False, "6666.67",
        "The average over 3 days is 6,666.666667 steps a day; "
        "the challenge asks for at least 10,000.",
    ),
    Example(
        "daily: minDays 1 and one step short",
        rules("steps", 1, "daily"), [activity(steps=0)], False, "0",
        "0 days reached 1 step; the challenge asks for at least 1.",
    ),
    Example(
        "daily: days are those of the challenge's timezone",
        rules("steps", 7, "daily", timezone="Asia/Kolkata"),
        [activity(day=2, hour=18, steps=4), activity(day=2, hour=19, steps=7)], True, "1",
    ),
    Example(
        "total: a hair too little is said as such",
        rules("distance_km", 10, "total"), [activity(distance_km=9.9999999)], False, "10",
        "The total is 9.9999999 km; the challenge asks for at least 10.",
    ),
    Example(
        "no matching record",
        rules("swimming_km", 0, "total"), RUNS, False, "0",
        "Of 2 records, none is of type swim, the only one that counts for swimming_km.",
    ),
    Example("steps from every type", rules("steps", 5, "total"), [activity(steps=5)], True, "5"),
    Example("metres", rules("distance_km", 5, "total"), [activity(distance_m=5000)], True, "5"),
    Example(
        "active_minutes is the stated duration",
        rules("active_minutes", 30, "total"), [activity(duration_s=1800)], True, "30",
    ),
    Example(
        "duration is never end minus start",
        rules("active_minutes", 1, "total"), [activity(end=at(2, 11))], False, "0",
        "The total is 0 active minutes; the challenge asks for at least 1.",
    ),
    Example(
        "a third of a minute is exact: three make one",
        rules("active_minutes", 1, "total"),
        [activity(day=day, duration_s=20) for day in (2, 3, 4)], True, "1",
    ),
    Example(
        "exercise_time prefers exercise_minutes",
        rules("exercise_time", 50, "total"),
        [activity(exercise_minutes=20, duration_min=90), activity(day=3, duration_min=30)], True,
        "50",
    ),
    Example("calories", rules("calories", 500, "total"), [activity(calories=500)], True, "500"),
    Example(
        "kilojoules are 4.184 to the calorie",
        rules("calories", 500, "total"), [activity(kilojoules=2092)], True, "500",
    ),
    *(
        Example(
            f"{metric} is the distance of {kind} only",
            rules(metric, 3, "total"),
            [activity(kind, distance_km=3), activity("run", distance_km=9)], True, "3",
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
            [activity(kind, duration_min=45), activity("run", duration_min=60)], True, "45",
        )
        for metric, kind in (("yoga_min", "pilates"), ("hiit_min", "crossfit"))
    ),
    Example(
        "strength_sessions count records or what they state",
        rules("strength_sessions", 4, "total"),
        [activity("weights", 2), activity("strength", 3, sessions=3), activity("run", 4)], True,
        "4",
    ),
    Example(
        "in a competitive challenge six decimals, whatever the threshold",
        config({"mode": "competitive"}, rules=simplified("distance_km", 100, "total")),
        [activity(distance_km=1.2345675)], True, "1.234568",
    ),
    Example(
        "a competitive challenge without a matching record fails too",
        config({"mode": "competitive"}, rules=simplified("swimming_km", 1, "total")), RUNS, False,
        "0", "none is of type swim",
    ),
    Example(
        "scores are rounded half up",
        rules("distance_km", 1, "total"), [activity(distance_km=1.005)], True, "1.01",
    ),
]

FULL_FITNESS = [
    Example("no parts: one record in scope", config(full()), RUNS, True, "10.25"),
    Example(
        "no parts: none in scope",
        config(full("swim")), RUNS, False, "0", "Of 2 records, none is of type swim.",
    ),
    Example(
        "outside the period",
        config(full()), [{"type": "run", "start": "2026-04-01T00:00:00Z"}], False, "0",
        "Of 1 record, 1 is of type run, but none lies within the period of the challenge "
        "(from 2026-03-01 00:00 to 2026-03-31 23:59 UTC).",
    ),
    Example(
        "two outside an open period",
        config(full(period={"start": "2026-03-03"})), RUNS, False, "0",
        "Of 2 records, 2 are of type run, but none lies within the period of the challenge "
        "(from 2026-03-03 00:00 UTC).",
    ),
    Example(
        "into the period from before",
        config(full()),
        [{"type": "run", "start": "2026-02-28T23:50:00Z", "end": at(1, 0), "distance_km": 5}], True,
        "5",
    ),
    Example(
        "conditions: met by one record", condition("distance_km", ">=", 5.25), RUNS, True, "10.25"
    ),
    Example(
        "conditions: met by no single record",
        condition("distance_km", ">=", 10), RUNS, False, "10.25",
        "Of 2 run records, none meets the condition: at least 10 km (the highest is 5.25).",
    ),
    Example(
        "conditions: all by the same record",
        config(full(conditions=[asks("distance_km", ">=", 5), asks("avg_hr_bpm", "<=", 150)])),
        [activity(distance_km=5, avg_hr_bpm=160), activity(day=3, distance_km=4, avg_hr_bpm=140)],
        False, "9",
        "Of 2 run records, none meets all conditions at once: at least 5 km (the highest is 5); "
        "at most 150 bpm on average (the lowest is 140).",
    ),
    Example(
        "conditions: a metric the record lacks fails, whatever the operator",
        condition("avg_hr_bpm", "<", 150), RUNS, False, "10.25",
        "less than 150 bpm on average (no record states avg_hr_bpm).",
    ),
    *(
        Example(
            f"{op} {value}", condition("distance_km", op, value), RUNS[:1], not why, "5.25", why
        )
        for op, value, why in (
            (">=", 5.25, ""),
            (">=", 5.26, "at least 5.26 km (the highest is 5.25)"),
            (">", 5.2, ""),
            (">", 5.25, "more than 5.25 km (the highest is 5.25)"),
            ("<=", 5.25, ""),
            ("<=", 5.2, "at most 5.2 km (the lowest is 5.25)"),
            ("<", 5.3, ""),
            ("<", 5.25, "less than 5.25 km (the lowest is 5.25)"),
            ("==", 5.25, ""),
            ("==", 5.2, "exactly 5.2 km (the nearest is 5.25)"),
        )
    ),
    Example(
        "dailyTarget: days in a row, over all types",
        daily("steps_count", ">=", 9000, 2), [*WALKS, activity("run", 5, steps_count=9500)], True,
        "9500",
    ),
    Example(
        "dailyTarget: a day without records breaks the run",
        daily("steps_count", ">=", 9000, 3), [*WALKS, activity("run", 5, steps_count=9500)], False,
        "9500",
        "The longest run of days with at least 9,000 steps is 2 days; "
        "the challenge asks for 3 in a row.",
    ),
    Example(
        "dailyTarget: every condition holds on the day's sums",
        config(
            full(
                dailyTarget={
                    "consecutiveDays": 1,
                    "conditions": [asks("steps_count", ">=", 9), asks("distance_km", "<", 3)],
                }
            )
        ),
        [activity(steps=5, distance_km=1), activity("walk", hour=12, steps=4, distance_km=2)],
        False, "5",
        "Of 1 day with records, none has at least 9 steps (the highest is 9) and less than 3 km "
        "(the lowest is 3); the challenge asks for 1 in a row.",
    ),
    Example(
        "dailyTarget alone: records of any type will do",
        daily("active_minutes", ">=", 30), [activity("walk", duration_min=30)], True, "0",
    ),
    Example(
        "dailyTarget alone: none of any type",
        daily("steps_count", ">=", 1, period={"end": "2026-03-01"}), WALKS, False, "0",
        "Of 2 records, none lies within the period of the challenge (to 2026-03-01 23:59 UTC).",
    ),
    Example(
        "dailyTarget with antiCheat: a record of the type must be in scope",
        daily("steps_count", ">=", 1, antiCheat={"maxTeleportJumps": 0}), WALKS, False, "0",
        "Of 2 records, none is of type run.",
    ),
    Example(
        "dailyTarget: minutes are stated ones",
        daily("duration_min", ">=", 30), [activity(end=at(2, 12))], False, "0",
        "Of 1 day with records, none has at least 30 minutes (the highest is 0); "
        "the challenge asks for 1 in a row.",
    ),
    *(
        Example(f"dailyTarget: {metric}", daily(metric, "==", value, 2), records, True, score)
        for metric, value, records, score in (
            ("steps_count", 9, [activity(day=day, steps=9) for day in (2, 3)], "18"),
            ("distance_km", 9, [activity(day=day, distance_m=9000) for day in (2, 3)], "18"),
            ("duration_min", 9, [activity(day=day, duration_s=540) for day in (2, 3)], "18"),
            ("active_minutes", 9, [activity(day=day, duration_min=9) for day in (2, 3)], "18"),
        )
    ),
    Example(
        "weeklyTarget: two weeks of two, not in a row",
        weekly(2, 2), [activity(day=day, distance_km=1) for day in (2, 8, 16, 22)], True, "4",
    ),
    Example(
        "weeklyTarget: Sunday and Monday are different weeks",
        weekly(2, 1), [activity(day=8, distance_km=1), activity(day=9, distance_km=1)], False, "2",
        "0 weeks had at least 2 eligible records (the most in a week is 1); "
        "the challenge asks for 1.",
    ),
    Example(
        "weeklyTarget: weeks are those of the period's timezone",
        weekly(2, 1, period={"timezone": "Asia/Kolkata"}),
        [activity(day=8, hour=19, distance_km=1), activity(day=9, distance_km=1)], True, "2",
    ),
    Example(
        "weeklyTarget: eligible records only",
        condition("distance_km", ">=", 5, weeklyTarget={"minOccurrences": 2, "perWeeks": 1}),
        [activity(day=2, distance_km=5), activity(day=3, distance_km=4)], False, "9",
        "0 weeks had at least 2 eligible records (the most in a week is 1)",
    ),
    Example(
        "antiCheat: kept",
        honest(minGpsContinuity=1, maxTeleportJumps=0, minHrConsistency=1), [STEADY], True, "10",
    ),
    Example(
        "antiCheat: GPS continuity, on every in-scope record",
        honest(minGpsContinuity=0.8), [STEADY, TELEPORT], False, "20",
        "The run of 2026-03-02 09:00 has a GPS continuity of 0.5, below 0.8.",
    ),
    Example(
        "antiCheat: no GPS track proves nothing",
        honest(minGpsContinuity=0.8), [activity(distance_km=5)], False, "5",
        "has a GPS continuity of 0, below 0.8.",
    ),
    Example(
        "antiCheat: teleport jumps",
        honest(maxTeleportJumps=0), [TELEPORT], False, "10", "has 1 GPS jump, more than 0.",
    ),
    Example(
        "antiCheat: fewer than three points have no jumps",
        honest(maxTeleportJumps=0), [activity(distance_km=5, gps_path=[[0, 0], [50, 50]])], True,
        "5",
    ),
    Example(
        "antiCheat: heart rate",
        honest(minHrConsistency=0.5), [TELEPORT], False, "10",
        "has a heart-rate consistency of 0.3, below 0.5.",
    ),
    Example(
        "antiCheat: unknown heart rate is 0",
        honest(minHrConsistency=0.1), [activity(duration_min=30)], False, "0",
        "has a heart-rate consistency of 0, below 0.1.",
    ),
    Example(
        "antiCheat: heart rate without a duration is 0",
        honest(minHrConsistency=0.1), [activity(avg_hr_bpm=150)], False, "0",
        "has a heart-rate consistency of 0, below 0.1.",
    ),
    Example(
        "antiCheat: other types are not asked",
        honest(maxTeleportJumps=0), [STEADY, activity("walk", gps_path=FAR)], True, "10",
    ),
    Example(
        "antiCheat: every breach has a sentence, up to twenty",
        honest(minHrConsistency=1), [activity(day=day) for day in range(1, 24)], False, "0",
        "3 further checks failed alike.",
    ),
]


def heart(kind: str, rate: float) -> Json:
    return activity(kind, distance_km=1, duration_min=5, avg_hr_bpm=rate)


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
        ("gps_continuity_score", 0, "run", activity(gps_path=NEAR[:2], distance_km=1), "1"),
        ("hr_activity_consistency", 0.3, "run", TELEPORT, "10"),
        *(
            ("hr_activity_consistency", fits, kind, heart(kind, rate), score)
            for kind, low, high, score in (
                ("run", 110, 200, "1"),
                ("cycle", 100, 190, "1"),
                ("swim", 90, 180, "1"),
                ("walk", 80, 160, "1"),
                ("yoga", 70, 200, "5"),
            )
            for rate, fits in ((low, 1), (high, 1), (low - 0.5, 0.3), (high + 0.5, 0.3))
        ),
        ("hr_activity_consistency", 0, "run", activity(distance_km=1, avg_hr_bpm=150), "1"),
        ("hr_activity_consistency", 0, "run", activity(distance_km=1, duration_min=5), "1"),
    )
] + [
    Example(
        f"{metric}: {sentence}", condition(metric, op, value, kind), [record], False, score,
        f"Of 1 {kind} record, none meets the condition: {sentence}.",
    )
    for metric, op, value, kind, record, score, sentence in (
        ("distance_km", ">=", 1, "run", activity(distance_m=500), "0.5",
         "at least 1 km (the highest is 0.5)"),
        ("duration_min", ">", 1, "run", activity(duration_s=30), "0.5",
         "more than 1 minute (the highest is 0.5)"),
        ("avg_pace_min_per_km", "<=", 6, "run", activity(duration_min=70, distance_km=10), "10",
         "at most 6 min/km on average (the lowest is 7)"),
        ("avg_speed_kmh", ">=", 12, "run", activity(duration_min=60, distance_km=9), "9",
         "at least 12 km/h on average (the highest is 9)"),
        ("elev_gain_m", ">=", 300, "hike", activity("hike", elev_gain_m=299), "299",
         "at least 300 m of climb (the highest is 299)"),
        ("avg_hr_bpm", "<", 150, "run", activity(avg_hr_bpm=150), "0",
         "less than 150 bpm on average (the lowest is 150)"),
        ("max_hr_bpm", ">=", 180, "run", activity(max_hr_bpm=170), "0",
         "at least 180 bpm at the peak (the highest is 170)"),
        ("steps_count", "==", 1, "run", activity(steps=3), "3",
         "exactly 1 step (the nearest is 3)"),
        ("calories", ">=", 500, "run", activity(calories=450), "450",
         "at least 500 calories (the highest is 450)"),
        ("active_minutes", ">=", 60, "run", activity(duration_min=45), "45",
         "at least 60 active minutes (the highest is 45)"),
        ("exercise_time", ">=", 1, "run", activity(exercise_minutes=0), "0",
         "at least 1 exercise minute (the highest is 0)"),
        ("strength_sessions", ">=", 2, "strength", activity("weights"), "1",
         "at least 2 strength sessions (the highest is 1)"),
        ("walking_km", ">=", 3, "walk", activity("walk", distance_km=2), "2",
         "at least 3 km walked (the highest is 2)"),
        ("cycling_km", ">=", 3, "cycle", activity("ride", distance_km=2), "2",
         "at least 3 km cycled (the highest is 2)"),
        ("swimming_km", ">=", 3, "swim", activity("swim", distance_km=2), "2",
         "at least 3 km swum (the highest is 2)"),
        ("hiking_km", ">=", 3, "hike", activity("hike", distance_km=2), "2",
         "at least 3 km hiked (the highest is 2)"),
        ("rowing_km", ">=", 3, "rowing", activity("rowing", distance_km=2), "2",
         "at least 3 km rowed (the highest is 2)"),
        ("yoga_min", ">=", 1, "yoga", activity("yoga", duration_min=0), "0",
         "at least 1 minute of yoga (the highest is 0)"),
        ("crossfit_min", ">=", 40, "hiit", activity("workout", duration_min=9), "9",
         "at least 40 minutes of HIIT (the highest is 9)"),
        ("gps_continuity_score", ">=", 0.8, "run", TELEPORT, "10",
         "at least 0.8 GPS continuity (the highest is 0.5)"),
        ("hr_activity_consistency", ">=", 1, "run", TELEPORT, "10",
         "at least 1 heart-rate consistency (the highest is 0.3)"),
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
        "without an additive condition a dailyTarget's metric scores",
        condition(
            "avg_hr_bpm",
            ">",
            1,
            dailyTarget={"consecutiveDays": 1, "conditions": [asks("steps_count", ">", 1)]},
        ),
        [activity(avg_hr_bpm=150, steps=80, distance_km=3)], True, "80",
    ),
    Example(
        "a condition's metric comes before a dailyTarget's",
        condition(
            "elev_gain_m",
            ">",
            1,
            dailyTarget={"consecutiveDays": 1, "conditions": [asks("steps_count", ">", 1)]},
        ),
        [activity(elev_gain_m=50, steps=80)], True, "50",
    ),
    Example(
        "the score sums all in scope, not the eligible only",
        condition("distance_km", ">", 5), RUNS, True, "10.25",
    ),
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
        [activity(distance_km=10, duration_min=50, elev_gain_m=80)], True, "80",
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
        contest("duration_min"), [activity(end=at(2, 12))], True, "0",
    ),
    Example(
        "conditions are not asked",
        contest("distance_km", conditions=[{"metric": "distance_km", "op": ">", "value": 99}]),
        RUNS, True, "10.25",
    ),
    Example(
        "a breach of antiCheat gives no score",
        contest("distance_km", antiCheat={"maxTeleportJumps": 0}), [TELEPORT], False, None,
        "1 GPS jump",
    ),
]

GAMING = [
    *(
        game(f"{metric} {period}", rules(metric, threshold, period), PLAYED, passed, score, why)
        for metric, period, threshold, passed, score, why in (
            ("wins", "total", 2, True, "2", ""),
            ("wins", "total", 3, False, "2", "Over 3 matches the total number of wins is 2;"),
            ("wins", "per_match", 0.6, True, "0.67", ""),
            ("wins", "per_match", 0.67, False, "0.67", "the mean number of wins is 0.666667;"),
            ("wins", "best_match", 1, True, "1", ""),
            ("kills", "total", 15, True, "15", ""),
            ("kills", "per_match", 5, True, "5", ""),
            ("kills", "per_match", 6, False, "5", "Over 3 matches the mean number of kills is 5;"),
            ("kills", "best_match", 10, True, "10", ""),
            ("kills", "best_match", 11, False, "10", "highest number of kills in one match is 10"),
            ("headshots", "total", 4, True, "4", ""),
            ("headshots", "per_match", 1, True, "1.33", ""),
            ("headshots", "best_match", 3, True, "3", ""),
            ("kda", "total", 12.5, True, "12.5", ""),
            ("kda", "total", 13, False, "12.5", "Over 3 matches the total kda is 12.5;"),
            ("kda", "per_match", 4, True, "4.17", ""),
            ("kda", "best_match", 7, True, "7", ""),
        )
    ),
    game(
        "fewer matches than minMatches",
        rules("wins", 1, "total", minMatches=4), PLAYED, False, "0",
        "3 matches count; the challenge asks for at least 4.",
    ),
    game(
        "one match counts",
        games(minWins=2), PLAYED[:1], False, "1", "asks for at least 2 (1 of 1 match counts)",
    ),
    game("a missing statistic is 0", rules("kda", 0, "total"), [match()], True, "0"),
    game(
        "kda with deaths = 0 is kills + assists",
        rules("kda", 9, "total"), [match(kills=4, assists=5, deaths=0)], True, "9",
    ),
    *(
        game(
            f"{field} are {metric}",
            games(mode="competitive", competitiveMetric=metric), [match(**{field: 5})], True, "5",
        )
        for metric, fields in (
            ("kills", "kills kill_count"),
            ("deaths", "deaths death_count"),
            ("assists", "assists assist_count"),
            ("damage", "hero_damage damage_dealt total_damage_dealt"),
        )
        for field in fields.split()
    ),
    *(
        game(
            f"{field} are headshots",
            rules("headshots", 5, "total"), [match(**{field: 5})], True, "5",
        )
        for field in ("headshots", "headshot_count", "hs_count")
    ),
    game(
        "the first named wins where both are given",
        rules("headshots", 5, "total"), [match(headshots=1, hs_count=9)], False, "1", "is 1;",
    ),
    game("minWins", games(minWins=2), PLAYED, True, "2"),
    game(
        "minWins missed",
        games(minWins=3), PLAYED, False, "2",
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
        True, "3",
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
        False, "3",
        "The number of wins in ranked matches is 3; the challenge asks for at least 4 "
        "(3 of 5 matches count).",
    ),
    game(
        "period, inclusive; a match without a time is inside",
        games(period={"start": at(3), "end": at(4)}, minWins=3),
        [match(day=3), match(day=4), match(day=5), match(day=None)], True, "3",
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
        True, "4",
    ),
    game(
        "wins by any of three fields",
        games(minWins=3),
        [{"result_for_player": "WIN"}, {"team_result": "Win"}, {"win": True}, {"win": "true"}],
        True, "3",
    ),
    game(
        "streakLength: in time order, and minWins is not asked",
        games(streakLength=2, minWins=9), [match(True, 4), match(False, 2), match(True, 3)], True,
        "2",
    ),
    game(
        "streakLength: untimed matches come last",
        games(streakLength=3), [match(False, None), match(True, 2), match(True, 3)], False, "2",
        "The longest run of wins is 2; the challenge asks for at least 3",
    ),
    *(
        game(
            f"competitive by {metric}",
            games(mode="competitive", **({} if metric is None else {"competitiveMetric": metric})),
            PLAYED, True, score,
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
        "a hero nobody played, ranked",
        games(hero="Pudge", rankedOnly=True), PLAYED, False, "0",
        "The number of wins in ranked matches with Pudge is 0; the challenge asks for at least 1 "
        "(0 of 3 matches count).",
    ),
    game(
        "streakLength: matches at one time keep their order",
        games(streakLength=2),
        [match(True, match_id=1), match(True, match_id=2), match(False, match_id=3)], True, "2",
    ),
    game(
        "competitive without a single match in the period",
        games(mode="competitive", period={"end": "2026-03-01"}), PLAYED, True, "0",
    ),
    game(
        "records that add up to more than any measurement have no score, in competitive mode too",
        games(mode="competitive", competitiveMetric="kills"),
        [match(match_id=each, kills=9 * 10**17) for each in (1, 2)], False, None,
        "The score would be 1,800,000,000,000,000,000; 1,000,000,000,000,000,000 or more is no "
        "measurement.",
    ),
    game(
        "competitive simplified keeps two decimals",
        config({"mode": "competitive"}, rules=simplified("kda", 99, "per_match")), PLAYED, True,
        "4.17",
    ),
]


# fmt: on

TABLE = {
    "Where the rule is found": WHERE_THE_RULE_IS_FOUND,
    "Which evidence": WHICH_EVIDENCE,
    "Fitness records": FITNESS_RECORDS,
    "Simplified fitness rules": SIMPLIFIED_FITNESS,
    "Full fitness rule, threshold mode": FULL_FITNESS,
    "Condition metrics": CONDITION_METRICS,
    "Score in threshold mode": NATURAL_SCORES,
    "Full fitness rule, competitive mode": COMPETITIVE_FITNESS,
    "Gaming records": GAMING,
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
    verdict = example.verdict()
    assert (verdict.passed, verdict.score) == (
        example.passed,
        None if example.score is None else Decimal(example.score),
    ), verdict.reasons
    assert bool(verdict.reasons) is not verdict.passed
    assert example.why in " ".join(verdict.reasons)

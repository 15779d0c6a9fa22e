"""A database with evidence of many kinds to judge: activities and matches, rows of 20 records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from benchmarks.common import Progress
from benchmarks.judgement import challenges
from benchmarks.judgement.made_up import ENDS, STARTS, Random, hexes, microseconds, wallets
from lightchallenge_dagster.storage import frames
from lightchallenge_dagster.storage.database import connect

if TYPE_CHECKING:
    from sqlalchemy import Engine

RECORDS = 20
_POOL = 4_999  # prime: any step through it meets every record once
_AT_ONCE = 5_000
_SPORTS = ("Run", "Walk", "Ride", "Swim", "Hike", "WeightTraining", "Yoga")
_ODDS = (0.4, 0.2, 0.15, 0.08, 0.07, 0.05, 0.05)
_HEROES = ("Anti-Mage", "Axe", "Crystal Maiden", "Juggernaut", "Pudge", "Sniper")

_PERIOD = {"start": STARTS.isoformat(), "end": ENDS.isoformat(), "timezone": "Europe/Berlin"}


def _simplified(kind: str, metric: str, threshold: float, period: str, **more: Any) -> Any:
    rule = {"type": kind, "metric": metric, "threshold": threshold, "period": period}
    return {"rules": rule | more}


def _full(challenge_type: str, **parts: Any) -> Any:
    return {"rule": {"challengeType": challenge_type, "period": _PERIOD, **parts}}


def _condition(metric: str, op: str, value: float) -> dict[str, Any]:
    return {"metric": metric, "op": op, "value": value}


FITNESS: tuple[Mapping[str, Any], ...] = (
    _simplified("fitness", "distance_km", 290, "total"),
    _simplified("fitness", "steps", 60_000, "daily", minDays=4),
    _simplified("fitness", "active_minutes", 235, "average"),
    _simplified("fitness", "walking_km", 60, "total"),
    _full(
        "run",
        conditions=[
            _condition("distance_km", ">=", 15),
            _condition("avg_pace_min_per_km", "<=", 5),
        ],
        weeklyTarget={"minOccurrences": 2, "perWeeks": 1},
    ),
    _full(
        "walk",
        dailyTarget={"consecutiveDays": 3, "conditions": [_condition("steps_count", ">=", 40_000)]},
    ),
    _full(
        "run", conditions=[_condition("avg_hr_bpm", ">=", 130)], antiCheat={"minHrConsistency": 0.2}
    ),
    _full("cycle", conditions=[_condition("elev_gain_m", ">=", 500)]),
    _full("run", mode="competitive", topN=3, competitiveMetric="distance_km"),
)
GAMING: tuple[Mapping[str, Any], ...] = (
    _simplified("gaming", "wins", 10, "total"),
    _simplified("gaming", "kda", 5, "per_match", minMatches=5),
    {"rule": {"streakLength": 3, "rankedOnly": True, "period": _PERIOD}},
)
KINDS = (*((rule, "strava") for rule in FITNESS), *((rule, "opendota") for rule in GAMING))
"""What a challenge asks for, and who sends the evidence for it; one after the other."""


def activities(random: Random) -> list[str]:
    """Activities as JSON, one in a hundred with a distance that cannot be."""
    made: list[str] = []
    for at in range(_POOL):
        start = _moment(random)
        minutes = int(random.integers(15, 150))
        sport = str(random.choice(_SPORTS, p=_ODDS))
        km = round(float(minutes * random.uniform(0.08, 0.3)), 3)
        heart = int(random.integers(95, 175))
        made.append(
            json.dumps(
                {
                    "type": sport,
                    "activity_id": 12_000_000_000 + at * 7_919,
                    "name": f"Morning {sport}",
                    "start": start.isoformat(),
                    "end": (start + timedelta(minutes=minutes + 3)).isoformat(),
                    "timezone": "(GMT+01:00) Europe/Berlin",
                    "distance_km": -km if random.random() < 0.01 else km,
                    "duration_min": minutes,
                    "steps_count": int(km * 1_250),
                    "avg_hr_bpm": heart,
                    "max_hr_bpm": heart + 22,
                    "elev_gain_m": round(float(random.uniform(0, 600)), 1),
                    "calories": minutes * 9,
                    "manual": False,
                    "device_name": "Garmin Forerunner 265",
                }
            )
        )
    return made


def matches(random: Random) -> list[str]:
    """Matches as JSON."""
    made: list[str] = []
    for at in range(_POOL):
        made.append(
            json.dumps(
                {
                    "match_id": 7_600_000_000 + at * 104_729,
                    "start_time": int(_moment(random).timestamp()),
                    "duration_s": int(random.integers(1_200, 3_600)),
                    "result_for_player": "win" if random.random() < 0.5 else "loss",
                    "lobby_type": int(random.choice((0, 7))),
                    "game_mode": 22,
                    "hero_id": int(random.integers(1, 120)),
                    "hero_name": str(random.choice(_HEROES)),
                    "kills": int(random.integers(0, 20)),
                    "deaths": int(random.integers(0, 12)),
                    "assists": int(random.integers(0, 25)),
                    "hero_damage": int(random.integers(3_000, 60_000)),
                }
            )
        )
    return made


def _moment(random: Random) -> datetime:
    """Mostly within the challenge, now and then a day before or after it."""
    seconds = int((ENDS - STARTS).total_seconds())
    offset = int(random.integers(-seconds // 14, seconds + seconds // 14))
    return datetime.fromtimestamp(STARTS.timestamp() + offset, UTC)


def fill(engine: Engine, seed: int, count: int, challenge_count: int, progress: Progress) -> None:
    """So many rows of ``RECORDS`` records as they arrive: challenges in turn, a row a wallet."""
    random = np.random.default_rng(seed)
    rules = {number: KINDS[number % len(KINDS)] for number in range(1, challenge_count + 1)}
    challenges.fill(engine, {number: rule for number, (rule, _) in rules.items()})
    pools = {"strava": activities(random), "opendota": matches(random)}
    provider = {number: name for number, (_, name) in rules.items()}
    step = (microseconds(ENDS) - microseconds(STARTS)) // count
    with engine.begin() as connection:
        for start in range(0, count, _AT_ONCE):
            progress(start / count, "filling the database")
            size = min(_AT_ONCE, count - start)
            challenge = [1 + at % challenge_count for at in range(start, start + size)]
            arrived = [microseconds(STARTS) + at * step for at in range(start, start + size)]
            at = pl.from_epoch("created_at", "us").dt.replace_time_zone("UTC")
            rows = pl.DataFrame(
                {
                    "challenge_id": challenge,
                    "subject": wallets(random, size),
                    "provider": [provider[number] for number in challenge],
                    "data": [_records(random, pools[provider[number]]) for number in challenge],
                    "evidence_hash": hexes(random, size, 32),
                    "created_at": arrived,
                }
            ).with_columns(at, at.alias("updated_at"))
            frames.write(connection, "public.evidence", rows)
    challenges.settle_down(engine)


def _records(random: Random, pool: list[str]) -> str:
    first, step = (int(number) for number in random.integers(1, _POOL, 2))
    return f"[{','.join(pool[(first + step * at) % _POOL] for at in range(RECORDS))}]"


def run(arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """In a child: fill ``database_url`` with so many ``rows`` for so many ``challenges``."""
    engine = connect(arguments["database_url"])
    fill(engine, arguments["seed"], arguments["rows"], arguments["challenges"], progress)
    with engine.connect() as connection:
        size = connection.exec_driver_sql("select avg(length(data::text)) from public.evidence")
        mean = float(size.scalar_one())
    engine.dispose()
    return {"bytes_a_row": mean, "records_a_row": RECORDS}

"""A made-up season: competitions of several weights, and matches of wallets and a few teams."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from benchmarks.common import Progress
from benchmarks.judgement import challenges
from benchmarks.judgement.made_up import Numbers, Random, wallets
from lightchallenge_dagster.storage import frames
from lightchallenge_dagster.storage.database import connect

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

SCORING = {"win": 3, "draw": 1, "loss": 0}
WEIGHTS = (1.0, 1.5, 2.0, 0.5, 1.25)
COMPETITIONS = 20
TEAM_SIZE = 5
_TEAM_SHARE = 0.05
_AT_ONCE = 100_000


@dataclass(frozen=True, slots=True)
class Season:
    """``matches`` are the columns of ``bracket_matches``, ``rosters`` a row a member."""

    season_id: str
    organization: str
    competitions: list[str]
    teams: list[str]
    rosters: pl.DataFrame
    matches: pl.DataFrame


def season(seed: int, match_count: int, wallet_count: int) -> Season:
    """So many matches; one side in twenty is a team. The first of them do not depend on the rest.

    Seven in ten have a recorded winner, two only scores, one is a draw.
    """
    random = np.random.default_rng(seed)
    players = wallets(random, wallet_count)
    teams = _uuids(random, max(2, wallet_count // 200))
    competitions = _uuids(random, COMPETITIONS)
    season_id, organization = _uuids(random, 2)
    members = random.choice(wallet_count, (len(teams), TEAM_SIZE), replace=wallet_count < 1000)
    rosters = pl.DataFrame({"team_id": [t for t in teams for _ in range(TEAM_SIZE)]}).with_columns(
        players.gather(members.reshape(-1)).alias("wallet")
    )
    parts = [
        _matches(np.random.default_rng((seed, start)), players, teams, competitions, start)
        for start in range(0, match_count, _AT_ONCE)
    ]
    matches = pl.concat(parts).head(match_count)
    return Season(season_id, organization, competitions, teams, rosters.unique(), matches)


def _matches(
    random: Random, players: pl.Series, teams: list[str], competitions: list[str], start: int
) -> pl.DataFrame:
    """``_AT_ONCE`` matches, whatever is wanted of them: so a slice is the same in any season."""
    count = _AT_ONCE
    sides = pl.concat([players, pl.Series(teams)])
    a, b = _two_of(random, len(players), count)
    team_a, team_b = _two_of(random, len(teams), count)
    is_team = random.random((2, count)) < _TEAM_SHARE
    a = np.where(is_team[0], len(players) + team_a, a)
    b = np.where(is_team[1], len(players) + team_b, b)
    kind = random.random(count)
    score = random.integers(0, 20, (2, count))
    score[1] = np.where(kind < 0.1, score[0], (score[0] + 1 + score[1] % 19) % 20)
    matches = pl.DataFrame(
        {
            "id": _uuids(random, count),
            "competition_id": pl.Series(competitions).gather(
                random.integers(0, len(competitions), count)
            ),
            "round": random.integers(1, 8, count),
            "match_number": np.arange(start, start + count),
            "participant_a": sides.gather(a),
            "participant_b": sides.gather(b),
            "score_a": score[0],
            "score_b": score[1],
            "recorded": (kind >= 0.3),
        }
    )
    won = pl.when(pl.col("score_a") > pl.col("score_b")).then("participant_a")
    return matches.with_columns(
        pl.when("recorded").then(won.otherwise("participant_b")).alias("winner"),
        pl.lit("completed").alias("status"),
    ).drop("recorded")


def _two_of(random: Random, size: int, count: int) -> tuple[Numbers, Numbers]:
    """So many pairs of different numbers below ``size``."""
    first = random.integers(0, size, count)
    return first, (first + random.integers(1, size, count)) % size


def _uuids(random: Random, count: int) -> list[str]:
    data = random.bytes(16 * count)
    return [str(uuid.UUID(bytes=data[at : at + 16])) for at in range(0, len(data), 16)]


def fill(engine: Engine, made: Season, progress: Progress) -> None:
    """Write a season to a migrated database."""
    with engine.begin() as connection:
        _fill_around(connection, made)
        for start in range(0, made.matches.height, _AT_ONCE):
            progress(start / made.matches.height, "filling the database")
            frames.write(connection, "public.bracket_matches", made.matches.slice(start, _AT_ONCE))
    challenges.settle_down(engine)


def _fill_around(connection: Connection, made: Season) -> None:
    one = {"id": made.season_id, "name": "Spring", "scoring_config": json.dumps(SCORING)}
    frames.write(connection, "public.seasons", pl.DataFrame(one))
    organization = {"id": made.organization, "name": "Club", "slug": "club", "owner_wallet": "0x"}
    frames.write(connection, "public.organizations", pl.DataFrame(organization))
    competitions = pl.DataFrame({"id": made.competitions}).with_columns(title=pl.lit("Cup"))
    frames.write(connection, "public.competitions", competitions)
    weights = [WEIGHTS[at % len(WEIGHTS)] for at in range(len(made.competitions))]
    entries = {"season_id": made.season_id, "competition_id": made.competitions}
    frames.write(
        connection, "public.season_competitions", pl.DataFrame(entries | {"weight": weights})
    )
    teams = pl.DataFrame({"id": made.teams, "org_id": made.organization, "name": "Team"})
    frames.write(connection, "public.teams", teams)
    frames.write(connection, "public.team_roster", made.rosters)


def run(arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """In a child: fill ``database_url`` with so many ``matches`` of ``wallets``."""
    made = season(arguments["seed"], arguments["matches"], arguments["wallets"])
    engine = connect(arguments["database_url"])
    fill(engine, made, progress)
    engine.dispose()
    return {"season_id": made.season_id}

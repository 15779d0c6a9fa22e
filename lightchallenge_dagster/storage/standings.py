"""``public.season_standings`` and what they are made from (database guide, Competitions)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from lightchallenge_dagster.storage import bulk, frames, sql

if TYPE_CHECKING:
    import polars as pl
    from sqlalchemy import Connection

_LOCK = text("select pg_advisory_xact_lock(hashtextextended('standings:' || :season_id, 0))")
_KNOWN = text("select season_id::text, inputs_hash from pipeline.standings_states")
_SCORING = text("select scoring_config::text from public.seasons where id = cast(:id as uuid)")


@dataclass(frozen=True, slots=True)
class SeasonInputs:
    """Everything the standings of one season are made from.

    ``scoring_config`` is JSON text. ``weights`` maps the season's competitions to their weight as
    decimal text (None where it is null); ``contradictory`` are those listed more than once, with
    different weights. ``matches`` and ``rosters`` are as ``rules.standings.match_results`` takes
    them. ``stakers`` holds ``wallet``, ``competition_id`` and ``outcome``, a row for each staker of
    each finalized challenge: "win" for those who won it on chain.
    """

    scoring_config: str | None
    weights: dict[str, str | None]
    contradictory: list[str]
    matches: pl.DataFrame
    rosters: pl.DataFrame
    stakers: pl.DataFrame


def lock(connection: Connection, season_id: str) -> None:
    """Wait for whoever else computes this season, until the transaction ends."""
    connection.execute(_LOCK, {"season_id": season_id})


def fingerprints(connection: Connection, season_id: str | None = None) -> dict[str, str]:
    """The hash of each season's inputs as they are now, by season id; of one or of all."""
    with frames.joined_whole(connection):
        rows = connection.execute(
            text(sql.load("standings/fingerprints")), {"season_id": season_id}
        ).all()
    return {str(row.season_id): row.inputs_hash for row in rows}


def computed(connection: Connection) -> dict[str, str]:
    """The hash of the inputs that each season's standings were last made from."""
    return {row.season_id: row.inputs_hash for row in connection.execute(_KNOWN)}


def inputs(connection: Connection, season_id: str) -> SeasonInputs:
    """Read what one season's standings are made from."""
    import polars as pl

    from lightchallenge_dagster.rules.standings import MATCHES_SCHEMA

    season = {"season_id": season_id}
    competitions = connection.execute(text(sql.load("standings/competitions")), season).all()
    times = Counter(row.competition_id for row in competitions)

    def frame(name: str, schema: Mapping[str, Any]) -> pl.DataFrame:
        with frames.joined_whole(connection):
            return frames.read(connection, sql.load(f"standings/{name}"), season, schema)

    return SeasonInputs(
        scoring_config=connection.execute(_SCORING, {"id": season_id}).scalar_one(),
        weights={row.competition_id: row.weight for row in competitions},
        contradictory=[competition for competition, count in times.items() if count > 1],
        matches=frame("matches", MATCHES_SCHEMA),
        rosters=frame("rosters", {"team_id": pl.String, "wallet": pl.String}),
        stakers=frame(
            "challenges",
            {"wallet": pl.String, "competition_id": pl.String, "outcome": pl.String},
        ),
    )


def replace(connection: Connection, season_id: str, rows: pl.DataFrame) -> tuple[int, int, int]:
    """Make a season's standings exactly ``rows``: (inserted, changed, removed).

    ``rows`` holds wallet, points, wins, losses, draws, competitions_entered. Readers see the
    standings before or after, never between: it is one transaction.
    """
    bulk.stage(
        connection,
        "staged_standings",
        "wallet text primary key, points integer, wins integer, losses integer, draws integer,"
        " competitions_entered integer",
    )
    frames.write(connection, "staged_standings", rows)
    connection.execute(text("analyze staged_standings"))
    season = {"season_id": season_id}
    removed = connection.execute(text(sql.load("standings/remove")), season).rowcount
    changed = connection.execute(text(sql.load("standings/update")), season).rowcount
    inserted = connection.execute(text(sql.load("standings/insert")), season).rowcount
    connection.execute(text("drop table staged_standings"))
    return inserted, changed, removed


def remember(connection: Connection, season_id: str, inputs_hash: str, problem: str | None) -> None:
    """Note what a season was computed from, or why it could not be."""
    connection.execute(
        text(sql.load("standings/remember")),
        {"season_id": season_id, "inputs_hash": inputs_hash, "problem": problem},
    )

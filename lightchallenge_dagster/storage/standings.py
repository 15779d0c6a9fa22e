"""``public.season_standings`` and what they are made from (database guide, Competitions)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from lightchallenge_dagster.storage import bulk, sql

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from lightchallenge_dagster.rules.standings import Match

_COLUMNS = ("wallet", "points", "wins", "losses", "draws", "competitions_entered")
_LOCK = text("select pg_advisory_xact_lock(hashtextextended('standings:' || :season_id, 0))")
_KNOWN = text("select season_id::text, inputs_hash from pipeline.standings_states")
_SCORING = text("select scoring_config::text from public.seasons where id = cast(:id as uuid)")


@dataclass(frozen=True, slots=True)
class StakerRow:
    """A staker of a finalized challenge of a competition, and whether it won on chain."""

    competition_id: str
    challenge_id: int
    subject: str
    won: bool


@dataclass(frozen=True, slots=True)
class SeasonInputs:
    """Everything the standings of one season are made from.

    ``scoring_config`` is JSON text. ``weights`` maps the season's competitions to their weight as
    decimal text (None where it is null), ``rosters`` the teams that play to their wallets.
    ``contradictory`` are the competitions that are listed more than once, with different weights.
    """

    scoring_config: str | None
    weights: dict[str, str | None]
    matches: list[Match]
    rosters: dict[str, list[str]]
    stakers: list[StakerRow]
    contradictory: list[str] = field(default_factory=list[str])


def lock(connection: Connection, season_id: str) -> None:
    """Wait for whoever else computes this season, until the transaction ends."""
    connection.execute(_LOCK, {"season_id": season_id})


def fingerprints(connection: Connection, season_id: str | None = None) -> dict[str, str]:
    """The hash of each season's inputs as they are now, by season id; of one or of all."""
    rows = connection.execute(text(sql.load("standings/fingerprints")), {"season_id": season_id})
    return {str(row.season_id): row.inputs_hash for row in rows}


def computed(connection: Connection) -> dict[str, str]:
    """The hash of the inputs that each season's standings were last made from."""
    return {row.season_id: row.inputs_hash for row in connection.execute(_KNOWN)}


def inputs(connection: Connection, season_id: str) -> SeasonInputs:
    """Read what one season's standings are made from."""

    from lightchallenge_dagster.rules.standings import Match

    def rows(name: str) -> Sequence[Any]:
        return connection.execute(
            text(sql.load(f"standings/{name}")), {"season_id": season_id}
        ).all()

    competitions = rows("competitions")
    times = Counter(row.competition_id for row in competitions)
    return SeasonInputs(
        scoring_config=connection.execute(_SCORING, {"id": season_id}).scalar_one(),
        weights={row.competition_id: row.weight for row in competitions},
        matches=[Match(*row) for row in rows("matches")],
        rosters={row.team_id: list(row.wallets) for row in rows("rosters")},
        stakers=[StakerRow(*row) for row in rows("challenges")],
        contradictory=[competition for competition, count in times.items() if count > 1],
    )


def replace(
    connection: Connection, season_id: str, rows: Iterable[tuple[Any, ...]]
) -> tuple[int, int, int]:
    """Make a season's standings exactly ``rows``: (inserted, changed, removed).

    A row is wallet, points, wins, losses, draws, competitions_entered.
    """
    bulk.stage(
        connection,
        "staged_standings",
        "wallet text primary key, points integer, wins integer, losses integer, draws integer,"
        " competitions_entered integer",
    )
    bulk.copy_rows(connection, "staged_standings", _COLUMNS, rows)
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

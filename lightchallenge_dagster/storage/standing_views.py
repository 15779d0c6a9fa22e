"""What a person wants to see of verdicts, rankings, standings and reputation: small results of SQL.

However many rows there are, nothing here returns more than a page can show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from lightchallenge_dagster.storage import sql

if TYPE_CHECKING:
    from datetime import date, datetime

    from sqlalchemy import Connection

DAYS: Final = 90
JUDGES: Final = 20
REASONS: Final = 10
REASONS_OF: Final = 100_000
"""Failed verdicts whose reasons are counted."""

CHALLENGES: Final = 3
PLACES: Final = 10
SEASONS: Final = 5
SEASON_PLACES: Final = 20
STEPS: Final = 20


@dataclass(frozen=True, slots=True)
class VerdictCount:
    """How many ``verdicts`` there are of one kind.

    ``passed`` by their outcome, ``outranked`` by their evidence only (a closed ranking left them
    out); the others failed. ``final`` ones can no longer change.
    """

    verdicts: int = 0
    passed: int = 0
    outranked: int = 0
    final: int = 0

    @property
    def failed(self) -> int:
        """Fail by their own evidence."""
        return self.verdicts - self.passed - self.outranked


@dataclass(frozen=True, slots=True)
class VerdictCounts:
    """Verdicts altogether, by (evaluator, provider) and by the UTC day of the evidence.

    At most the ``JUDGES`` most frequent pairs and the ``DAYS`` newest days.
    """

    all: VerdictCount = VerdictCount()
    by_judge: list[tuple[str, str | None, VerdictCount]] = field(
        default_factory=list[tuple[str, "str | None", VerdictCount]]
    )
    by_day: list[tuple[date, VerdictCount]] = field(
        default_factory=list[tuple["date", VerdictCount]]
    )


@dataclass(frozen=True, slots=True)
class Place:
    """A row of a leaderboard; the score as text, as many digits as it has, the time in UTC."""

    rank: int
    subject: str
    score: str | None
    winner: bool
    tie_break_at: str | None


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """The first places of one ranking of ``ranked`` wallets."""

    challenge_id: int
    title: str | None
    state: str
    ranked: int
    winners: int
    problem: str | None
    places: list[Place] = field(default_factory=list[Place])


@dataclass(frozen=True, slots=True)
class Distribution:
    """The scores of one ranking in ``STEPS`` equal steps from ``lowest`` to ``highest``.

    One step when they are equal. ``wallets`` and ``winners`` count by step.
    """

    challenge_id: int
    lowest: float
    highest: float
    wallets: list[int]
    winners: list[int]


@dataclass(frozen=True, slots=True)
class SeasonTable:
    """The first places of a season: (place, wallet, points, wins, draws, losses, competitions)."""

    season_id: str
    name: str
    problem: str | None
    wallets: int
    places: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])


def verdict_counts(
    connection: Connection, partitions: Sequence[str], chain_now: datetime
) -> VerdictCounts:
    """Count the verdicts of these partitions; what is final is so at ``chain_now``."""
    counts = VerdictCounts()
    rows = connection.execute(
        text(sql.load("ui/verdict_counts")),
        {
            "partitions": list(partitions),
            "chain_now": chain_now,
            "days": DAYS,
            "judges": JUDGES,
        },
    )
    for row in rows:
        count = VerdictCount(row.verdicts, row.passed, row.outranked, row.final)
        if row.kind == "all":
            counts = VerdictCounts(count, counts.by_judge, counts.by_day)
        elif row.kind == "judge":
            counts.by_judge.append((row.evaluator, row.provider, count))
        else:
            counts.by_day.append((row.day, count))
    return counts


def failure_reasons(connection: Connection, partitions: Sequence[str]) -> list[tuple[str, int]]:
    """The most frequent reasons, digits as "#", with how many failed verdicts name each.

    Of ``REASONS_OF`` failed verdicts at most.
    """
    rows = connection.execute(
        text(sql.load("ui/failure_reasons")),
        {"partitions": list(partitions), "looked_at": REASONS_OF, "reasons": REASONS},
    )
    return [(row.reason, row.verdicts) for row in rows]


def leaderboards(
    connection: Connection, partitions: Sequence[str]
) -> tuple[list[Leaderboard], int]:
    """The ``CHALLENGES`` largest rankings of these partitions, and how many more there are."""
    boards: dict[int, Leaderboard] = {}
    rankings = 0
    rows = connection.execute(
        text(sql.load("ui/leaderboards")),
        {"partitions": list(partitions), "challenges": CHALLENGES, "places": PLACES},
    )
    for row in rows:
        rankings = row.rankings
        board = boards.setdefault(
            row.challenge_id,
            Leaderboard(
                row.challenge_id, row.title, row.state, row.ranked, row.winners, row.problem
            ),
        )
        if row.rank is not None:
            board.places.append(
                Place(row.rank, row.subject, row.score, row.winner, row.tie_break_at)
            )
    return list(boards.values()), rankings - len(boards)


def score_distributions(
    connection: Connection, challenge_ids: Sequence[int]
) -> dict[int, Distribution]:
    """How the scores of these challenges' rankings spread; none for a ranking without scores."""
    found: dict[int, Distribution] = {}
    rows = connection.execute(
        text(sql.load("ui/score_distribution")),
        {"challenge_ids": list(challenge_ids), "steps": STEPS},
    )
    for row in rows:
        steps = 1 if row.lowest == row.highest else STEPS
        one = found.setdefault(
            row.challenge_id,
            Distribution(row.challenge_id, row.lowest, row.highest, [0] * steps, [0] * steps),
        )
        # Bounds that differ beyond a float's digits come in one step.
        step = min(row.step, steps) - 1
        one.wallets[step] += row.wallets
        one.winners[step] += row.winners
    return found


def season_tables(connection: Connection, seasons: Sequence[str]) -> list[SeasonTable]:
    """The first ``SEASON_PLACES`` of the first ``SEASONS`` of these seasons."""
    tables: dict[str, SeasonTable] = {}
    rows = connection.execute(
        text(sql.load("ui/standings_tables")),
        {"seasons": list(seasons)[:SEASONS], "places": SEASON_PLACES},
    )
    for row in rows:
        table = tables.setdefault(
            row.season_id, SeasonTable(row.season_id, row.season, row.problem, row.wallets or 0)
        )
        if row.place is not None:
            table.places.append(
                (
                    row.place,
                    row.wallet,
                    row.points,
                    row.wins,
                    row.draws,
                    row.losses,
                    row.competitions_entered,
                )
            )
    return list(tables.values())


def reputation_levels(connection: Connection) -> dict[int, tuple[int, int]]:
    """By level: how many wallets have it, and their points together."""
    rows = connection.execute(text(sql.load("ui/reputation_levels")))
    return {row.level: (row.wallets, int(row.points)) for row in rows}

"""``public.rankings`` and ``pipeline.ranking_states``: who won, and from when that is settled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlalchemy import text

from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.storage import bulk, frames, sql

if TYPE_CHECKING:
    import polars as pl
    from sqlalchemy import Connection

_ANY_STORED = text("""
    select exists (select 1 from public.rankings
                    where challenge_id = any(cast(:challenge_ids as bigint[])))
""")
_LOCK = text("select pg_advisory_xact_lock(hashtextextended('rankings', 0))")
_STATE = text("select state from pipeline.ranking_states where challenge_id = :challenge_id")


@dataclass(frozen=True, slots=True)
class OpenRanking:
    """A competitive challenge whose ranking may still change, and from what it was last made.

    ``ranked_from`` is null, and ``known`` false, where it was not ranked yet. ``closing``: its time
    has come. With a ``problem`` it is quarantined.
    """

    challenge_id: int
    top_n: int
    ranking_closes_at: datetime | None
    ranked_from: str | None
    problem: str | None
    known: bool
    closing: bool


@dataclass(frozen=True, slots=True)
class RankingState:
    """A row of ``pipeline.ranking_states``: what a ranking was made from and what came of it.

    With a ``problem`` the challenge is quarantined: its ranking stays as it was, provisional.
    """

    challenge_id: int
    state: str
    inputs_hash: str
    ranked: int
    winners: int
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Unsound:
    """A closed or frozen ranking that pays nobody (``pipeline.settled_rankings``).

    It closed with ``ranked`` wallets and ``winners``; ``stored`` and ``won`` are there now, and
    ``due`` would have to win. ``undue`` is a wallet that wins without rank or score for it,
    ``misplaced`` one whose rank is not its place, ``altered`` one whose row is not what its
    ``inputs_hash`` was made from, ``open`` one whose row has not closed.
    """

    challenge_id: int
    state: str
    ranked: int
    winners: int
    stored: int
    won: int
    due: int
    undue: str | None
    misplaced: str | None
    altered: str | None
    open: str | None


@dataclass(frozen=True, slots=True)
class Winner:
    """A wallet to pay, with what the prompt and the proof say about it.

    ``score`` is the ranked one in a competitive challenge, else the verdict's; ``updated_at`` is
    the verdict's, moved into the years 1970 to 9999. ``rank`` is None in a threshold challenge.
    """

    challenge_id: int
    subject: str
    score: Decimal | None
    evidence_hash: str
    updated_at: datetime
    rank: int | None


def lock(connection: Connection) -> None:
    """Wait for whoever else ranks, until the transaction ends.

    One lock for all: a challenge that moves to another day would escape a lock of its day.
    """
    connection.execute(_LOCK)


def pending(connection: Connection, chain_now: datetime) -> list[tuple[int, str]]:
    """Rankings that are out of date or have to close at ``chain_now``: challenge and partition.

    For sensors: it reads entries and hashes only.
    """
    rows = connection.execute(text(sql.load("rank/pending")), {"chain_now": chain_now})
    return [(row.challenge_id, row.partition_key) for row in rows]


def open_rankings(
    connection: Connection, chain_now: datetime, partition_key: str
) -> list[OpenRanking]:
    """The partition's rankings that are not closed yet, as they stand at ``chain_now``.

    Without those whose rule cannot be read: they stay as they are until it can.
    """
    rows = connection.execute(
        text(sql.load("rank/open")), {"chain_now": chain_now, "partition_key": partition_key}
    )
    return [OpenRanking(*row) for row in rows]


def candidates(
    connection: Connection, challenge_ids: Iterable[int], *, settled: bool = False
) -> pl.DataFrame:
    """Who is ranked in these competitive challenges: stake on chain, a pass of their own, a score.

    ``challenge_id`` (i64), ``subject`` (lowercase), ``score`` (text: a numeric may be anything),
    ``created_at`` (datetime, UTC, when the evidence was submitted), ``top_n`` (i64) and
    ``inputs_hash`` of its row. ``settled``: of closed rankings, whose losers' own pass is kept
    beside the outcome.
    """
    import polars as pl

    with frames.joined_whole(connection):
        entries = frames.read(
            connection,
            sql.load("rank/candidates"),
            {"challenge_ids": sorted(set(challenge_ids)), "settled": settled},
            {
                "challenge_id": pl.Int64,
                "subject": pl.String,
                "score": pl.String,
                "created_at": pl.Int64,
                "top_n": pl.Int64,
                "inputs_hash": pl.String,
            },
        )
    return entries.with_columns(pl.from_epoch("created_at", "us").dt.replace_time_zone("UTC"))


def unproved(connection: Connection, challenge_ids: Iterable[int]) -> list[tuple[int, str, str]]:
    """Verdicts to be ranked whose evidence is not there: challenge, wallet, evidence_hash."""
    with frames.joined_whole(connection):
        rows = connection.execute(
            text(sql.load("rank/unproved")), {"challenge_ids": sorted(set(challenge_ids))}
        ).all()
    return [(row.challenge_id, row.subject, row.evidence_hash) for row in rows]


def hashes(
    connection: Connection, rankings: Sequence[OpenRanking], entries: Mapping[int, tuple[int, int]]
) -> dict[int, str]:
    """What each ranking would be made from now, by ``pipeline.ranking_hash``.

    ``entries`` are the number of entrants and the sum of their ``pipeline.ranking_entry``, by
    challenge.
    """
    sums = [entries.get(one.challenge_id, (0, 0)) for one in rankings]
    rows = connection.execute(
        text(sql.load("rank/hashes")),
        {
            "challenge_ids": [one.challenge_id for one in rankings],
            "top_ns": [one.top_n for one in rankings],
            "closings": [one.closing for one in rankings],
            "entrants": [entrants for entrants, _ in sums],
            "entries": [str(entry) for _, entry in sums],
        },
    )
    return {row.challenge_id: row.inputs_hash for row in rows}


def save(
    connection: Connection, challenge_ids: Sequence[int], rows: pl.DataFrame
) -> tuple[int, int, int]:
    """Make the rankings of ``challenge_ids`` exactly ``rows``: (inserted, changed, removed).

    ``rows`` holds ``challenge_id``, ``subject``, ``rank``, ``score``, ``winner``, ``tie_break_at``,
    ``top_n``, ``state`` and ``inputs_hash``.
    """
    challenges = {"challenge_ids": list(challenge_ids)}
    if not connection.execute(_ANY_STORED, challenges).scalar_one():
        return frames.write(connection, "public.rankings", rows), 0, 0
    bulk.stage(
        connection,
        "staged_rankings",
        "challenge_id bigint, subject text, rank integer, score numeric, winner boolean,"
        " tie_break_at timestamptz, top_n integer, state text, inputs_hash text",
    )
    frames.write(connection, "staged_rankings", rows)
    connection.execute(text("analyze staged_rankings"))
    removed, changed, inserted = (
        connection.execute(text(sql.load(f"rank/{change}")), challenges).rowcount
        for change in ("remove", "update", "insert")
    )
    connection.execute(text("drop table staged_rankings"))
    return inserted, changed, removed


def remember(connection: Connection, states: Sequence[RankingState]) -> None:
    """Note in ``pipeline.ranking_states`` what rankings were made from, and their state."""
    bulk.stage(
        connection,
        "staged_states",
        "challenge_id bigint, state text, inputs_hash text, ranked integer, winners integer,"
        " problem text",
    )
    columns = [column.name for column in fields(RankingState)]
    bulk.copy_rows(connection, "staged_states", columns, (astuple(state) for state in states))
    connection.execute(text(sql.load("rank/remember")))
    connection.execute(text("drop table staged_states"))


def mirror(connection: Connection, challenge_ids: Sequence[int]) -> int:
    """Write the outcome of closed rankings into ``verdicts.pass`` and ``metadata.ranking``."""
    with frames.joined_whole(connection):
        return connection.execute(
            text(sql.load("rank/mirror")), {"challenge_ids": list(challenge_ids)}
        ).rowcount


def settled(connection: Connection, partition_key: str, *, but: Sequence[int]) -> pl.DataFrame:
    """The winners of a partition's closed and frozen rankings, as they are stored.

    ``challenge_id`` (i64), ``state``, ``subject`` (null in the one row of a ranking without a
    winner); the challenges ``but`` are left out.
    """
    import polars as pl

    return frames.read(
        connection,
        sql.load("rank/settled"),
        {"partition_key": partition_key, "but": list(but)},
        {"challenge_id": pl.Int64, "state": pl.String, "subject": pl.String},
    )


def unsound(connection: Connection, challenge_ids: Sequence[int]) -> list[Unsound]:
    """Those of some closed and frozen rankings that pay nobody."""
    rows = connection.execute(
        text(sql.load("rank/unsound")), {"challenge_ids": list(challenge_ids)}
    )
    return [Unsound(*row) for row in rows]


def freeze(connection: Connection, challenge_id: int) -> bool:
    """Freeze a closed ranking, in the transaction that first orders a binding or proof from it.

    Returns whether it froze just now: False when it was frozen, or has no ranking (a threshold
    challenge). Raises ``PermanentError`` for a provisional one: nobody is paid from that.
    """
    state = connection.execute(_STATE, {"challenge_id": challenge_id}).scalar_one_or_none()
    if state == "provisional":
        raise PermanentError(
            f"the ranking of challenge {challenge_id} is still provisional; bind and prove its "
            "winners after it closed"
        )
    if state != "closed":
        return False
    connection.execute(text(sql.load("rank/freeze")), {"challenge_id": challenge_id})
    return True


def settled_winners(
    connection: Connection,
    challenge_ids: Iterable[int],
    chain_now: datetime,
    *,
    lock: bool = False,
) -> list[Winner]:
    """Who may be bound and proved at ``chain_now``, by challenge, then rank or wallet.

    Competitive: the winners of a closed or frozen ranking. Threshold: passing verdicts that are
    final, while the challenge's rule can be read. All with stake on chain. A stored ranking that is
    not the one that was closed (its counts, or a winner without a score) is left out whole.

    With ``lock`` the plans and verdicts are held until the transaction ends, so that no edit or
    judgement changes one between this look and the intent that settles it. Take it where intents
    are written.
    """
    wanted = sorted(set(challenge_ids))
    if lock:
        for rows in ("rank/lock_plans", "rank/lock_winners"):
            connection.execute(text(sql.load(rows)), {"challenge_ids": wanted})
    rows = connection.execute(
        text(sql.load("rank/settled_winners")), {"challenge_ids": wanted, "chain_now": chain_now}
    )
    return [Winner(*row) for row in rows]


def provisional_winners(connection: Connection, challenge_ids: Iterable[int]) -> list[Winner]:
    """Who would win if nothing changed any more, by challenge, best first.

    The winners of a ranking in whatever state, or the passing verdicts with stake (higher score,
    then the earlier evidence). For the prompt's subject and for dispatch, never for payment.
    """
    rows = connection.execute(
        text(sql.load("rank/provisional_winners")), {"challenge_ids": sorted(set(challenge_ids))}
    )
    return [
        Winner(
            row.challenge_id, row.subject, row.score, row.evidence_hash, row.updated_at, row.rank
        )
        for row in rows
    ]

"""``public.rankings`` and ``pipeline.ranking_states``: who won, and from when that is settled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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

_STATE = text("select state from pipeline.ranking_states where challenge_id = :challenge_id")


@dataclass(frozen=True, slots=True)
class PendingRanking:
    """A competitive challenge whose ranking is out of date, or has to close now."""

    challenge_id: int
    partition_key: str
    closing: bool
    inputs_hash: str
    ranking_closes_at: datetime | None


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
    """A closed or frozen ranking whose stored rows are not the ranking that was closed.

    It closed with ``ranked`` wallets and ``winners``; ``stored`` and ``won`` are there now, and
    ``due`` would have to win. ``undue`` is a wallet that wins without rank or score for it,
    ``altered`` one whose row is not what its ``inputs_hash`` was made from.
    """

    challenge_id: int
    state: str
    ranked: int
    winners: int
    stored: int
    won: int
    due: int
    undue: str | None
    altered: str | None


@dataclass(frozen=True, slots=True)
class Winner:
    """A wallet to pay, with what the prompt and the proof say about it.

    ``score`` is the ranked one in a competitive challenge, else the verdict's; ``updated_at`` is
    the verdict's. ``rank`` is None in a threshold challenge.
    """

    challenge_id: int
    subject: str
    score: Decimal | None
    evidence_hash: str
    updated_at: datetime
    rank: int | None


def pending(
    connection: Connection,
    chain_now: datetime,
    *,
    partition_key: str | None = None,
    challenge_ids: Sequence[int] | None = None,
    retry: bool = False,
) -> list[PendingRanking]:
    """Provisional rankings that are out of date or have to close at ``chain_now``.

    With ``retry`` also quarantined ones whose inputs have not changed since.
    """
    rows = connection.execute(
        text(sql.load("rank/pending")),
        {
            "chain_now": chain_now,
            "partition_key": partition_key,
            "challenge_ids": challenge_ids,
            "retry": retry,
        },
    )
    return [PendingRanking(**row) for row in rows.mappings()]


def candidates(connection: Connection, challenge_ids: Iterable[int]) -> pl.DataFrame:
    """Who is ranked in these competitive challenges: stake on chain, a pass of their own, a score.

    ``challenge_id`` (i64), ``subject`` (lowercase), ``score`` (text: a numeric may be anything),
    ``created_at`` (datetime, UTC, when the evidence was submitted), ``top_n`` (i64) and
    ``lost_evidence``: the hash of the verdict's evidence where that is not there, else null.
    """
    import polars as pl

    with frames.joined_whole(connection):
        entries = frames.read(
            connection,
            sql.load("rank/candidates"),
            {"challenge_ids": sorted(set(challenge_ids))},
            {
                "challenge_id": pl.Int64,
                "subject": pl.String,
                "score": pl.String,
                "created_at": pl.Int64,
                "top_n": pl.Int64,
                "lost_evidence": pl.String,
            },
        )
    return entries.with_columns(pl.from_epoch("created_at", "us").dt.replace_time_zone("UTC"))


def save(
    connection: Connection, challenge_ids: Sequence[int], rows: pl.DataFrame
) -> tuple[int, int, int]:
    """Make the rankings of ``challenge_ids`` exactly ``rows``: (inserted, changed, removed).

    ``rows`` holds ``challenge_id``, ``subject``, ``rank``, ``score``, ``winner``,
    ``tie_break_at``, ``top_n`` and ``state``. Each row is stored with
    ``pipeline.ranking_inputs_hash`` of what it was made from.
    """
    bulk.stage(
        connection,
        "staged_rankings",
        "challenge_id bigint, subject text, rank integer, score numeric, winner boolean,"
        " tie_break_at timestamptz, top_n integer, state text",
    )
    frames.write(connection, "staged_rankings", rows)
    connection.execute(text("analyze staged_rankings"))
    written = tuple(
        connection.execute(
            text(sql.load(f"rank/{change}")), {"challenge_ids": list(challenge_ids)}
        ).rowcount
        for change in ("remove", "update", "insert")
    )
    connection.execute(text("drop table staged_rankings"))
    removed, changed, inserted = written
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


def unsound(connection: Connection, partition_key: str, *, but: Sequence[int]) -> list[Unsound]:
    """The partition's closed and frozen rankings that nothing is paid from; without ``but``."""
    rows = connection.execute(
        text(sql.load("rank/unsound")), {"partition_key": partition_key, "but": list(but)}
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
    final. All with stake on chain. A stored ranking that is not the one that was closed (its
    counts, or a winner without a score) is left out whole.

    With ``lock`` the verdicts are held until the transaction ends, so that no judgement changes
    one between this look and the intent that settles it. Take it where intents are written.
    """
    wanted = sorted(set(challenge_ids))
    if lock:
        connection.execute(text(sql.load("rank/lock_winners")), {"challenge_ids": wanted})
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

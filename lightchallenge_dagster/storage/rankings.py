"""``public.rankings`` and ``pipeline.ranking_states``: who won, and from when that is settled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlalchemy import text

from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.storage import bulk, sql

if TYPE_CHECKING:
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
class Candidate:
    """A wallet that is ranked: it has stake on chain, a pass of its own and a score."""

    challenge_id: int
    subject: str
    score: Decimal
    created_at: datetime
    top_n: int


@dataclass(frozen=True, slots=True)
class RankedRow:
    """One row of ``public.rankings``."""

    challenge_id: int
    subject: str
    rank: int
    score: Decimal | None
    winner: bool
    tie_break_at: datetime
    top_n: int
    state: str
    inputs_hash: str


@dataclass(frozen=True, slots=True)
class SettledRow:
    """A stored row of a closed or frozen ranking, with what its state says about the whole.

    ``subject`` and the fields of the row are None for a ranking of nobody.
    """

    challenge_id: int
    subject: str | None
    rank: int | None
    score: Decimal | None
    winner: bool | None
    top_n: int | None
    state: str
    ranked: int
    winners: int


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
) -> list[PendingRanking]:
    """Provisional rankings that are out of date or have to close at ``chain_now``."""
    rows = connection.execute(
        text(sql.load("rank/pending")),
        {
            "chain_now": chain_now,
            "partition_key": partition_key,
            "challenge_ids": challenge_ids,
        },
    )
    return [PendingRanking(**row) for row in rows.mappings()]


def candidates(connection: Connection, challenge_ids: Iterable[int]) -> list[Candidate]:
    """Who is ranked in these competitive challenges, ordered by challenge and wallet."""
    rows = connection.execute(
        text(sql.load("rank/candidates")), {"challenge_ids": sorted(set(challenge_ids))}
    )
    return [Candidate(*row) for row in rows]


def save(
    connection: Connection, challenge_ids: Sequence[int], rows: Sequence[RankedRow]
) -> tuple[int, int, int]:
    """Make the rankings of ``challenge_ids`` exactly ``rows``: (inserted, changed, removed)."""
    bulk.stage(
        connection,
        "staged_rankings",
        "challenge_id bigint, subject text, rank integer, score numeric, winner boolean,"
        " tie_break_at timestamptz, top_n integer, state text, inputs_hash text,"
        " primary key (challenge_id, subject)",
    )
    bulk.copy_rows(
        connection,
        "staged_rankings",
        (
            "challenge_id",
            "subject",
            "rank",
            "score",
            "winner",
            "tie_break_at",
            "top_n",
            "state",
            "inputs_hash",
        ),
        (astuple(row) for row in rows),
    )
    connection.execute(text("analyze staged_rankings"))
    removed = connection.execute(
        text(sql.load("rank/remove")), {"challenge_ids": list(challenge_ids)}
    ).rowcount
    changed = connection.execute(text(sql.load("rank/update"))).rowcount
    inserted = connection.execute(text(sql.load("rank/insert"))).rowcount
    connection.execute(text("drop table staged_rankings"))
    return inserted, changed, removed


def remember(
    connection: Connection,
    challenge_id: int,
    *,
    state: str,
    inputs_hash: str,
    ranked: int,
    winners: int,
) -> None:
    """Note in ``pipeline.ranking_states`` what a ranking was made from, and its state."""
    connection.execute(
        text(sql.load("rank/remember")),
        {
            "challenge_id": challenge_id,
            "state": state,
            "inputs_hash": inputs_hash,
            "ranked": ranked,
            "winners": winners,
            "problem": None,
        },
    )


def quarantine(connection: Connection, challenge_id: int, inputs_hash: str, problem: str) -> None:
    """Note why a challenge cannot be ranked; it is looked at again when its inputs change."""
    connection.execute(
        text(sql.load("rank/quarantine")),
        {"challenge_id": challenge_id, "inputs_hash": inputs_hash, "problem": problem},
    )


def mirror(connection: Connection, challenge_ids: Sequence[int]) -> int:
    """Write the outcome of closed rankings into ``verdicts.pass`` and ``metadata.ranking``."""
    return connection.execute(
        text(sql.load("rank/mirror")), {"challenge_ids": list(challenge_ids)}
    ).rowcount


def settled(connection: Connection, partition_key: str) -> list[SettledRow]:
    """The closed and frozen rankings of a partition as they are stored, by challenge and rank."""
    rows = connection.execute(text(sql.load("rank/settled")), {"partition_key": partition_key})
    return [SettledRow(*row) for row in rows]


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

"""What the tables say, as it is compared with the chain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from lightchallenge_dagster.storage import checkpoints, jobs, ops, rankings, settlement, sql

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from lightchallenge_dagster.rules.reorg import Point
    from lightchallenge_dagster.storage.ops import StuckJob
    from lightchallenge_dagster.storage.settlement import Bound

Pair = tuple[int, str]

_MOST_INTENTS = 500


@dataclass(frozen=True, slots=True)
class ChallengeRow:
    """A row of ``public.challenges``, statuses in lowercase; ``indexed_…`` is the projection's.

    ``winners`` counts the indexed winners. ``proof`` is None where the column is no object.
    """

    challenge_id: int
    status: str | None
    outcome: int | None
    indexed_status: str | None
    indexed_outcome: int | None
    proof: dict[str, Any] | None
    job_status: str | None
    task_id: str | None
    indexed_request: str | None
    winners: int


@dataclass(frozen=True, slots=True)
class FinalIntent:
    """An intent that is final here, and the transaction that it is final by."""

    key: str
    challenge_id: int | None
    status: str
    hash: str
    block_number: int
    block_hash: str


@dataclass(frozen=True, slots=True)
class Picture:
    """The tables at one moment. ``won``: settled winners by ranking or verdict."""

    challenges: Sequence[ChallengeRow]
    won: frozenset[Pair]
    chain_winners: frozenset[Pair]
    bindings: Mapping[Pair, Bound]
    final: Sequence[FinalIntent]
    hanging: Sequence[StuckJob]
    misnoted: frozenset[int]


def checkpoint(connection: Connection, chain_id: int) -> Point | None:
    """The block as of which the tables speak."""
    return checkpoints.read(connection, chain_id)


def picture(
    connection: Connection,
    chain_id: int,
    chain_now_ts: int,
    challenge_ids: Sequence[int] | None,
    hang_minutes: float,
) -> Picture:
    """Read everything in the caller's transaction; None for ``challenge_ids`` means all."""
    asked = None if challenge_ids is None else list(challenge_ids)
    challenges = [
        ChallengeRow(**row)
        for row in connection.execute(
            text(sql.load("ops/picture_challenges")), {"challenge_ids": asked}
        ).mappings()
    ]
    ids = [one.challenge_id for one in challenges]
    now = datetime.fromtimestamp(chain_now_ts, UTC)
    final = connection.execute(
        text(sql.load("ops/confirmed")),
        {"chain_id": chain_id, "challenge_ids": asked, "at_most": _MOST_INTENTS},
    ).mappings()
    hanging = ops.stuck_jobs(connection, hang_minutes)
    return Picture(
        challenges=challenges,
        won=frozenset(
            (one.challenge_id, one.subject)
            for one in rankings.settled_winners(connection, ids, now)
        ),
        chain_winners=frozenset(settlement.chain_winners(connection, ids)),
        bindings=settlement.bindings(connection, ids),
        final=[FinalIntent(**row) for row in final],
        hanging=[one for one in hanging if one.challenge_id in set(ids) and not one.working],
        misnoted=frozenset(
            one.challenge_id for one in jobs.misnoted(connection) if one.challenge_id in set(ids)
        ),
    )


def stakers(connection: Connection, challenge_ids: Iterable[int]) -> set[Pair]:
    """Who staked on these challenges."""
    return settlement.stakers(connection, sorted(set(challenge_ids)))

"""Rank: from verdicts with stake to who wins a competitive challenge."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from lightchallenge_dagster.steps.judge import judge_wallets
from lightchallenge_dagster.storage import rankings, verdicts
from lightchallenge_dagster.storage.rankings import Candidate, PendingRanking, RankedRow, SettledRow

if TYPE_CHECKING:
    import polars as pl
    from sqlalchemy import Connection, Engine

_WIDE = Context(prec=2000)

#: Digits that a decimal column of Polars holds.
_PRECISION = 38

#: A chain whose clock is further from ours than this does not run on ours (a local chain that was
#: moved), and then our timestamps say nothing about its times.
_COMPARABLE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class RankReport:
    """What one ranking of a partition did.

    ``challenges`` were ranked anew: ``ranked`` wallets, ``winners`` of them, written as
    ``inserted``, ``changed`` and ``removed`` rows; ``unchanged`` rows were not touched. ``closed``
    are the challenges that closed now, ``mirrored`` the verdicts that took their outcome over,
    ``judged`` the wallets judged just before.
    ``verified`` closed or frozen rankings were computed again and compared; those that differ are
    in ``mismatched`` and stay as they are. ``quarantined`` says which challenges cannot be ranked
    or paid, and why.
    """

    partition: str
    challenges: int = 0
    ranked: int = 0
    winners: int = 0
    inserted: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    closed: tuple[int, ...] = ()
    mirrored: int = 0
    judged: int = 0
    verified: int = 0
    mismatched: tuple[str, ...] = ()
    quarantined: tuple[str, ...] = ()


def pending(engine: Engine, chain_now: datetime) -> dict[str, int]:
    """Challenges to rank or close at ``chain_now``, counted by partition; empty when idle."""
    with engine.connect() as connection:
        return dict(Counter(row.partition_key for row in rankings.pending(connection, chain_now)))


def rank(engine: Engine, partition: str, chain_now: datetime) -> RankReport:
    """Bring the partition's rankings up to date and close those whose time has come.

    One transaction. A closing ranking takes in what was submitted by then: evidence that is not
    judged yet is judged first, and later uploads are left out. Closed and frozen rankings are only
    verified. A challenge whose verdicts cannot be ranked is quarantined: it stays provisional, and
    the others go on.
    """
    with engine.begin() as connection:
        verdicts.lock(connection, partition)
        due = rankings.pending(connection, chain_now, partition_key=partition)
        limits = _limits(connection, due, chain_now)
        judged = _judge_what_closes(connection, due, limits, chain_now)
        if judged:
            due = rankings.pending(connection, chain_now, partition_key=partition)
        entries = [
            row
            for row in rankings.candidates(connection, (row.challenge_id for row in due))
            if row.challenge_id not in limits or row.created_at <= limits[row.challenge_id]
        ]
        problems = _unrankable(entries)
        ranked, broken = _rank([row for row in entries if row.challenge_id not in problems])
        problems |= broken
        good = [row for row in due if row.challenge_id not in problems]
        rows = _rows(ranked, entries, good)
        written = rankings.save(connection, [row.challenge_id for row in good], rows)
        by_challenge: dict[int, list[RankedRow]] = {}
        for ranked_row in rows:
            by_challenge.setdefault(ranked_row.challenge_id, []).append(ranked_row)
        for row in good:
            of_challenge = by_challenge.get(row.challenge_id, [])
            rankings.remember(
                connection,
                row.challenge_id,
                state="closed" if row.closing else "provisional",
                inputs_hash=row.inputs_hash,
                ranked=len(of_challenge),
                winners=sum(r.winner for r in of_challenge),
            )
        for row in due:
            if row.challenge_id in problems:
                rankings.quarantine(
                    connection, row.challenge_id, row.inputs_hash, problems[row.challenge_id]
                )
        closed = [row.challenge_id for row in good if row.closing]
        mirrored = rankings.mirror(connection, closed) if closed else 0
        verified, mismatched, unsound = _verify(connection, partition, set(closed))
    inserted, changed, removed = written
    return RankReport(
        partition=partition,
        challenges=len(good),
        ranked=len(rows),
        winners=sum(row.winner for row in rows),
        inserted=inserted,
        changed=changed,
        removed=removed,
        unchanged=len(rows) - inserted - changed,
        closed=tuple(closed),
        mirrored=mirrored,
        judged=judged,
        verified=verified,
        mismatched=mismatched,
        quarantined=tuple(
            f"challenge {challenge_id}: {problem}"
            for challenge_id, problem in sorted((problems | unsound).items())
        ),
    )


def _limits(
    connection: Connection, due: Sequence[PendingRanking], chain_now: datetime
) -> dict[int, datetime]:
    """By our clock, until when evidence counts in each challenge that closes.

    Rankings close on chain time and evidence is stamped by our clock, so the limit is shifted by
    how far the chain is behind. Empty when the two clocks cannot be compared.
    """
    closing = [row for row in due if row.closing and row.ranking_closes_at is not None]
    if not closing:
        return {}
    now: datetime = connection.execute(text("select now()")).scalar_one()
    behind = now - chain_now
    if abs(behind) > _COMPARABLE:
        return {}
    shift = max(behind, timedelta(0))
    return {
        row.challenge_id: row.ranking_closes_at + shift
        for row in closing
        if row.ranking_closes_at is not None
    }


def _judge_what_closes(
    connection: Connection,
    due: Sequence[PendingRanking],
    limits: dict[int, datetime],
    chain_now: datetime,
) -> int:
    """Judge the closing challenges from the evidence that counts; how many wallets changed."""
    alike: dict[datetime | None, list[int]] = {}
    for row in due:
        if row.closing:
            alike.setdefault(limits.get(row.challenge_id), []).append(row.challenge_id)
    judged = 0
    for until, challenge_ids in alike.items():
        waiting = verdicts.pending(connection, challenge_ids=challenge_ids, until=until)
        judge_wallets(connection, waiting, chain_now)
        judged += len(waiting)
    return judged


def _unrankable(entries: Sequence[Candidate]) -> dict[int, str]:
    """Challenges with a wallet or score that has no place in an order, and which."""
    problems: dict[int, str] = {}
    for row in entries:
        if row.challenge_id in problems:
            continue
        score = row.score
        if not score.is_finite():
            problems[row.challenge_id] = f"wallet {row.subject} has the score {score}, no number"
        elif score and max(score.adjusted() + 1, _places(score)) > _PRECISION // 2:
            problems[row.challenge_id] = (
                f"wallet {row.subject} has a score of more digits than can be compared exactly"
            )
    for (challenge_id, subject), times in Counter(
        (row.challenge_id, row.subject) for row in entries
    ).items():
        if times > 1:
            problems.setdefault(
                challenge_id, f"wallet {subject} has {times} verdicts, spelled differently"
            )
    return problems


def _places(score: Decimal) -> int:
    exponent = _WIDE.normalize(score).as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _rank(entries: Sequence[Candidate]) -> tuple[list[dict[str, Any]], dict[int, str]]:
    """All challenges in one pass; and those whose winners are not the number they must be."""
    import polars as pl

    from lightchallenge_dagster.rules.ranking import rank as ranked

    if not entries:
        return [], {}
    frame = pl.DataFrame(
        {
            "challenge_id": [row.challenge_id for row in entries],
            "subject": [row.subject for row in entries],
            "score": [row.score for row in entries],
            "created_at": [row.created_at.astimezone(UTC) for row in entries],
            "top_n": [row.top_n for row in entries],
        },
        schema={
            "challenge_id": pl.Int64,
            "subject": pl.String,
            "score": pl.Decimal(_PRECISION, _PRECISION // 2),
            "created_at": pl.Datetime("us", "UTC"),
            "top_n": pl.Int64,
        },
    )
    table = ranked(frame)
    return table.to_dicts(), _not_conserved(table)


def _not_conserved(table: pl.DataFrame) -> dict[int, str]:
    import polars as pl

    counts = table.group_by("challenge_id").agg(
        pl.col("winner").sum().cast(pl.Int64).alias("winners"),
        pl.min_horizontal(
            pl.col("top_n").first(), (pl.col("score") > 0).sum().cast(pl.Int64)
        ).alias("due"),
    )
    return {
        row["challenge_id"]: f"{row['winners']} winners where {row['due']} are due"
        for row in counts.filter(pl.col("winners") != pl.col("due")).iter_rows(named=True)
    }


def _rows(
    ranked: Sequence[dict[str, Any]],
    entries: Sequence[Candidate],
    good: Sequence[PendingRanking],
) -> list[RankedRow]:
    states = {row.challenge_id: "closed" if row.closing else "provisional" for row in good}
    entered = {(row.challenge_id, row.subject): row for row in entries}
    rows: list[RankedRow] = []
    for row in ranked:
        if row["challenge_id"] in states:
            entry = entered[row["challenge_id"], row["subject"]]
            rows.append(
                RankedRow(
                    challenge_id=entry.challenge_id,
                    subject=entry.subject,
                    rank=row["rank"],
                    score=entry.score,
                    winner=row["winner"],
                    tie_break_at=entry.created_at,
                    top_n=entry.top_n,
                    state=states[entry.challenge_id],
                    inputs_hash=_row_hash(entry),
                )
            )
    return rows


def _row_hash(entry: Candidate) -> str:
    """What this row was ranked from. The whole ranking's hash is in ``ranking_states``."""
    inputs = (
        entry.subject,
        _WIDE.normalize(entry.score),
        entry.created_at.astimezone(UTC).isoformat(),
        entry.top_n,
    )
    return hashlib.md5(
        "|".join(str(value) for value in inputs).encode(), usedforsecurity=False
    ).hexdigest()


def _verify(
    connection: Connection, partition: str, just_closed: set[int]
) -> tuple[int, tuple[str, ...], dict[int, str]]:
    """Compare settled rankings with what they would be now, and with their own counts."""
    stored: dict[int, list[SettledRow]] = {}
    for row in rankings.settled(connection, partition):
        if row.challenge_id not in just_closed:
            stored.setdefault(row.challenge_id, []).append(row)
    unsound = {
        challenge_id: problem
        for challenge_id, rows in stored.items()
        if (problem := _unsound(rows)) is not None
    }
    entries = rankings.candidates(connection, stored)
    unrankable = _unrankable(entries)
    again, _ = _rank([row for row in entries if row.challenge_id not in unrankable])
    winners: dict[int, set[str]] = {}
    for row in again:
        if row["winner"]:
            winners.setdefault(row["challenge_id"], set()).add(row["subject"])
    mismatched: list[str] = []
    for challenge_id, rows in sorted(stored.items()):
        kept = {row.subject for row in rows if row.winner and row.subject is not None}
        if kept != winners.get(challenge_id, set()):
            mismatched.append(
                f"challenge {challenge_id}: {rows[0].state} with {_listed(kept)}, would now be "
                f"{_listed(winners.get(challenge_id, set()))}"
            )
    return len(stored), tuple(mismatched), unsound


def _unsound(rows: Sequence[SettledRow]) -> str | None:
    """Why stored rows are not the ranking that was closed; nothing is paid from such a one."""
    present = [row for row in rows if row.subject is not None]
    won = [row for row in present if row.winner]
    state = rows[0]
    if (len(present), len(won)) != (state.ranked, state.winners):
        return (
            f"its {state.state} ranking has {len(present)} rows and {len(won)} winners, it closed "
            f"with {state.ranked} and {state.winners}"
        )
    scored = sum(1 for row in present if _positive(row.score))
    due = min(max((row.top_n or 0 for row in present), default=0), scored)
    if len(won) != due:
        return f"its {state.state} ranking has {len(won)} winners where {due} are due"
    for row in won:
        if not _positive(row.score) or (row.rank or 0) > (row.top_n or 0):
            return (
                f"its {state.state} ranking has {row.subject} win as rank {row.rank} of the best "
                f"{row.top_n}, with the score {row.score}"
            )
    return None


def _positive(score: Decimal | None) -> bool:
    return score is not None and score.is_finite() and score > 0


def _listed(wallets: set[str]) -> str:
    return ", ".join(sorted(wallets)) or "nobody"

"""Rank: from verdicts with stake to who wins a competitive challenge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import text

from lightchallenge_dagster.steps.judge import judge_wallets
from lightchallenge_dagster.storage import frames, rankings, verdicts
from lightchallenge_dagster.storage.rankings import OpenRanking, RankingState, Unsound

if TYPE_CHECKING:
    import polars as pl
    from sqlalchemy import Connection, Engine

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
        return dict(Counter(key for _, key in rankings.pending(connection, chain_now)))


def rank(engine: Engine, partition: str, chain_now: datetime) -> RankReport:
    """Bring the partition's rankings up to date and close those whose time has come.

    One transaction. A closing ranking takes in what was submitted by then: evidence that is not
    judged yet is judged first, and later uploads are left out. Closed and frozen rankings are only
    verified. A challenge whose verdicts cannot be ranked is quarantined: it stays provisional, and
    the others go on.
    """
    from lightchallenge_dagster.rules import ranking as rules

    with engine.begin() as connection:
        frames.roomy(connection)
        rankings.lock(connection)
        verdicts.lock(connection, partition)
        found = rankings.open_rankings(connection, chain_now, partition)
        limits = _limits(connection, found, chain_now)
        judged = _judge_what_closes(connection, found, limits, chain_now)
        entries = rankings.candidates(connection, (row.challenge_id for row in found))
        entered = _sums(entries)
        hashes = rankings.hashes(connection, found, entered)
        due = [row for row in found if _is_due(row, hashes[row.challenge_id], entered)]
        entries = _in_time(_of(entries, due), limits)
        problems = rules.unrankable(entries)
        ranked = rules.rank(rules.exact_scores(_without(entries, problems)))
        problems |= rules.not_conserved(ranked) | _unproved(connection, due, ranked)
        good = [row for row in due if row.challenge_id not in problems]
        rows = _stored(_without(ranked, problems), good)
        inserted, changed, removed = rankings.save(
            connection, [row.challenge_id for row in good], rows
        )
        rankings.remember(connection, _states(due, hashes, problems, rows))
        closed = [row.challenge_id for row in good if row.closing]
        mirrored = rankings.mirror(connection, closed) if closed else 0
        unsound, verified, mismatched = _verify(connection, partition, closed)
    quarantined = problems | {one.challenge_id: _why_unsound(one) for one in unsound}
    return RankReport(
        partition=partition,
        challenges=len(good),
        ranked=rows.height,
        winners=int(rows["winner"].sum()),
        inserted=inserted,
        changed=changed,
        removed=removed,
        unchanged=rows.height - inserted - changed,
        closed=tuple(closed),
        mirrored=mirrored,
        judged=judged,
        verified=verified,
        mismatched=mismatched,
        quarantined=tuple(
            f"challenge {challenge_id}: {problem}"
            for challenge_id, problem in sorted(quarantined.items())
        ),
    )


def _limits(
    connection: Connection, due: Sequence[OpenRanking], chain_now: datetime
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
    due: Sequence[OpenRanking],
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


def _sums(entries: pl.DataFrame) -> dict[int, tuple[int, int]]:
    """Number of entrants and the sum of their ``pipeline.ranking_entry``, by challenge."""
    import polars as pl

    entry = pl.col("inputs_hash").str.slice(0, 15).str.to_integer(base=16).cast(pl.Int128)
    sums = entries.group_by("challenge_id").agg(pl.len(), entry.sum())
    return {challenge_id: (count, entry) for challenge_id, count, entry in sums.iter_rows()}


def _is_due(ranking: OpenRanking, inputs_hash: str, entered: Collection[int]) -> bool:
    """Whether a ranking has to be made: it closes, was quarantined, or its inputs have changed.

    One that nobody entered is not begun before it closes.
    """
    if ranking.closing or ranking.problem is not None:
        return True
    return ranking.ranked_from != inputs_hash and (ranking.known or ranking.challenge_id in entered)


def _unproved(
    connection: Connection, due: Sequence[OpenRanking], ranked: pl.DataFrame
) -> dict[int, str]:
    """Closing challenges with a winner that nobody could explain to whoever loses by it."""
    lost = {
        (challenge_id, subject): proof
        for challenge_id, subject, proof in rankings.unproved(
            connection, (row.challenge_id for row in due if row.closing)
        )
    }
    if not lost:
        return {}
    won = ranked.filter("winner").select("challenge_id", "subject").rows()
    return {
        challenge_id: f"wallet {subject} would win by a verdict on evidence that is not there: "
        f"{lost[challenge_id, subject]}"
        for challenge_id, subject in won
        if (challenge_id, subject) in lost
    }


def _of(entries: pl.DataFrame, chosen: Sequence[OpenRanking]) -> pl.DataFrame:
    import polars as pl

    return entries.filter(pl.col("challenge_id").is_in([row.challenge_id for row in chosen]))


def _in_time(entries: pl.DataFrame, limits: dict[int, datetime]) -> pl.DataFrame:
    """Without what was submitted after its challenge's limit."""
    import polars as pl

    until = pl.DataFrame(
        {
            "challenge_id": list(limits),
            "until": [until.astimezone(UTC) for until in limits.values()],
        },
        schema={"challenge_id": pl.Int64, "until": pl.Datetime("us", "UTC")},
    )
    in_time = pl.col("until").is_null() | (pl.col("created_at") <= pl.col("until"))
    return entries.join(until, on="challenge_id", how="left").filter(in_time).drop("until")


def _without(rows: pl.DataFrame, challenge_ids: Collection[int]) -> pl.DataFrame:
    import polars as pl

    return rows.filter(~pl.col("challenge_id").is_in(list(challenge_ids)))


def _stored(ranked: pl.DataFrame, good: Sequence[OpenRanking]) -> pl.DataFrame:
    """The rows of ``public.rankings``."""
    import polars as pl

    closing = [row.challenge_id for row in good if row.closing]
    state = pl.when(pl.col("challenge_id").is_in(closing)).then(pl.lit("closed"))
    return ranked.select(
        "challenge_id",
        "subject",
        "rank",
        pl.col("score_text").alias("score"),
        "winner",
        pl.col("created_at").alias("tie_break_at"),
        "top_n",
        state.otherwise(pl.lit("provisional")).alias("state"),
        "inputs_hash",
    )


def _states(
    due: Sequence[OpenRanking],
    hashes: dict[int, str],
    problems: dict[int, str],
    rows: pl.DataFrame,
) -> list[RankingState]:
    import polars as pl

    counts = rows.group_by("challenge_id").agg(pl.len(), pl.col("winner").sum()).rows()
    ranked = {challenge_id: (count, winners) for challenge_id, count, winners in counts}
    return [
        RankingState(
            challenge_id=row.challenge_id,
            state="closed" if row.closing and problem is None else "provisional",
            inputs_hash=hashes[row.challenge_id],
            ranked=ranked.get(row.challenge_id, (0, 0))[0],
            winners=ranked.get(row.challenge_id, (0, 0))[1],
            problem=problem,
        )
        for row in due
        for problem in [problems.get(row.challenge_id)]
    ]


def _verify(
    connection: Connection, partition: str, just_closed: Sequence[int]
) -> tuple[list[Unsound], int, tuple[str, ...]]:
    """Compare settled rankings with their own counts, and with what they would be now."""
    import polars as pl

    from lightchallenge_dagster.rules import ranking as rules

    stored = rankings.settled(connection, partition, but=just_closed)
    if stored.is_empty():
        return [], 0, ()
    challenge_ids: list[int] = stored["challenge_id"].unique().to_list()
    unsound = rankings.unsound(connection, challenge_ids)
    entries = rankings.candidates(connection, challenge_ids, settled=True)
    again = rules.rank(rules.exact_scores(_without(entries, rules.unrankable(entries))))
    kept = stored.drop_nulls("subject")
    pair = ["challenge_id", "subject"]
    won = again.filter("winner").select(pair)
    differ = pl.concat(
        [
            kept.select(pair).join(won, on=pair, how="anti"),
            won.join(kept, on=pair, how="anti"),
        ]
    )
    mismatched: list[str] = []
    for challenge_id in sorted(differ["challenge_id"].unique()):
        of_challenge = pl.col("challenge_id") == challenge_id
        state = stored.filter(of_challenge)["state"].item(0)
        mismatched.append(
            f"challenge {challenge_id}: {state} with {_listed(kept.filter(of_challenge))}, would "
            f"now be {_listed(won.filter(of_challenge))}"
        )
    return unsound, len(challenge_ids), tuple(mismatched)


def _why_unsound(ranking: Unsound) -> str:
    """Why stored rows are not the ranking that was closed; nothing is paid from such a one."""
    its = f"its {ranking.state} ranking has"
    if (ranking.stored, ranking.won) != (ranking.ranked, ranking.winners):
        return (
            f"{its} {ranking.stored} rows and {ranking.won} winners, it closed with "
            f"{ranking.ranked} and {ranking.winners}"
        )
    if ranking.won != ranking.due:
        return f"{its} {ranking.won} winners where {ranking.due} are due"
    if ranking.undue is not None:
        return f"{its} {ranking.undue} win without the rank or the score for it"
    if ranking.misplaced is not None:
        return f"{its} {ranking.misplaced} in a place that is not its own"
    if ranking.altered is not None:
        return f"{its} a row of {ranking.altered} that is not what its inputs_hash was made from"
    return f"{its} a row of {ranking.open} that says it has not closed"


def _listed(wallets: pl.DataFrame) -> str:
    return ", ".join(sorted(wallets["subject"])) or "nobody"

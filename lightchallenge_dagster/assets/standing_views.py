"""What the pages of verdicts, rankings, standings and reputation show beside their counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dagster import MetadataValue

from lightchallenge_dagster.assets import figures, standing_plots
from lightchallenge_dagster.assets.markdown import inert, table
from lightchallenge_dagster.assets.metadata import markdown_table
from lightchallenge_dagster.storage import standing_views as views

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Engine

    from lightchallenge_dagster.storage.standing_views import Leaderboard, VerdictCount

#: A reason is a sentence or two.
_LONGEST_REASON = 200

#: A line of its own between tables; the page leaves none.
_APART = "\n\n&nbsp;\n\n"


def verdicts_shown(
    engine: Engine, partitions: Sequence[str], chain_now: datetime
) -> dict[str, Any]:
    """Pass rate by day, counts by who judged, and the reasons of failures.

    Of all verdicts of these partitions; what this run judged is in its report.
    """
    with engine.connect() as connection:
        counts = views.verdict_counts(connection, partitions, chain_now)
        reasons = views.failure_reasons(connection, partitions)
    total = counts.all
    if not total.verdicts:
        return {"partition_verdicts": 0}
    passing = total.passed + total.outranked
    rate = 100 * passing / total.verdicts
    shown: dict[str, Any] = {
        "partition_verdicts": total.verdicts,
        "partition_pass_rate_percent": round(rate, 1),
        "partition_final": total.final,
        "partition_provisional": total.verdicts - total.final,
    }
    if counts.by_day:
        plot = figures.picture(f"{rate:.0f} % pass", standing_plots.draw_pass_rate(counts.by_day))
        shown["pass_rate"] = MetadataValue.md(
            f"{plot}\n\n{passing:,} of {total.verdicts:,} verdicts ({rate:.1f} %) pass on their own"
            f" evidence; {total.outranked:,} of them lost a closed ranking. Days are those on which"
            " the evidence was first submitted (UTC)."
        )
    rows = [
        (evaluator if provider is None else f"{evaluator}: {provider}", *_counts(one))
        for evaluator, provider, one in counts.by_judge
    ]
    columns = ("judged by", "verdicts", "passed", "failed", "outranked", "final")
    shown["counts"] = markdown_table(columns, [*rows, ("all", *_counts(total))])
    if reasons:
        looked_at = min(total.failed + total.outranked, views.REASONS_OF)
        rows = [(count, f"{100 * count / looked_at:.0f} %", reason) for reason, count in reasons]
        shown["failure_reasons"] = MetadataValue.md(
            table(("verdicts", "share", "reason"), rows, _LONGEST_REASON)
            + f"\n\nOf {looked_at:,} verdicts that do not pass; # is an amount or a day."
        )
    return shown


def rankings_shown(engine: Engine, partitions: Sequence[str]) -> dict[str, Any]:
    """The largest rankings of these partitions: their first places, and how scores spread."""
    with engine.connect() as connection:
        boards, left_out = views.leaderboards(connection, partitions)
        spread = views.score_distributions(connection, [one.challenge_id for one in boards])
    if not boards:
        return {}
    shown: dict[str, Any] = {}
    drawn = [spread[one.challenge_id] for one in boards if one.challenge_id in spread]
    if drawn:
        plot = figures.picture("scores", standing_plots.draw_scores(drawn))
        shown["score_distribution"] = MetadataValue.md(
            f"{plot}\n\nWallets by score, each challenge in its own metric."
        )
    more = f"{_APART}Smaller rankings that are not shown: {left_out:,}." if left_out else ""
    shown["leaderboards"] = MetadataValue.md(_APART.join(map(_board, boards)) + more)
    return shown


def standings_shown(engine: Engine, seasons: Sequence[str]) -> dict[str, Any]:
    """The first places of these seasons."""
    with engine.connect() as connection:
        tables = views.season_tables(connection, seasons)
    parts: list[str] = []
    for season in tables:
        heading = f"**{inert(season.name)}** · {_wallets(season.wallets)}"
        if season.problem is not None:
            heading += f" · as they were: {inert(season.problem, _LONGEST_REASON)}"
        columns = ("place", "wallet", "points", "wins", "draws", "losses", "competitions")
        parts.append(heading + (f"\n\n{table(columns, season.places)}" if season.places else ""))
    if not parts:
        return {}
    if len(seasons) > len(tables):
        parts.append(f"Further seasons that are not shown: {len(seasons) - len(tables)}.")
    return {"standings": MetadataValue.md(_APART.join(parts))}


def reputation_shown(engine: Engine) -> dict[str, Any]:
    """How many wallets have reached each level."""
    # Polars comes with the rule: only runs pay for it.
    from lightchallenge_dagster.rules.reputation import LEVELS

    with engine.connect() as connection:
        found = views.reputation_levels(connection)
    total = sum(wallets for wallets, _ in found.values())
    if not total:
        return {}
    nothing = (0, 0)
    rows = [
        (level, name, from_points, wallets, f"{100 * wallets / total:.1f} %", points)
        for level, name, from_points in LEVELS
        for wallets, points in [found.get(level, nothing)]
    ]
    plot = figures.picture(
        f"{total} wallets", standing_plots.draw_levels({row[1]: row[3] for row in rows})
    )
    columns = ("level", "name", "from points", "wallets", "share", "points together")
    return {"levels": MetadataValue.md(f"{plot}\n\n{table(columns, rows)}")}


def _board(one: Leaderboard) -> str:
    title = inert(one.title or "without a title")
    heading = (
        f"**Challenge {one.challenge_id}: {title}** · {one.state} · "
        f"{_wallets(one.ranked)} ranked, {one.winners:,} "
        f"{'winner' if one.winners == 1 else 'winners'}"
    )
    if one.problem is not None:
        heading += f" · held back: {inert(one.problem, _LONGEST_REASON)}"
    columns = ("rank", "wallet", "score", "winner", "evidence since (UTC)")
    rows = [
        (
            place.rank,
            place.subject,
            place.score,
            "yes" if place.winner else "",
            place.tie_break_at,
        )
        for place in one.places
    ]
    return f"{heading}\n\n{table(columns, rows)}"


def _counts(one: VerdictCount) -> tuple[int, ...]:
    return one.verdicts, one.passed, one.failed, one.outranked, one.final


def _wallets(count: int) -> str:
    return "1 wallet" if count == 1 else f"{count:,} wallets"

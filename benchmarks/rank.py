"""How fast verdicts, rankings and standings are: `make bench-rank`, or this with --help."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from benchmarks.command import finish, measuring, options
from benchmarks.judgement.bars import bars
from benchmarks.judgement.parts import evaluation, order, rankings, standings
from benchmarks.judgement.report import show

PARTS = ("order", "rankings", "standings", "evaluation")
EXAMPLES = """\b
Examples:
  make bench-rank                                    everything, with the bars' verdicts
  make bench-rank ARGS="order --order-rows 1000000"  only the sort, quickly
  make bench-rank ARGS="rankings --challenges 1000"  only one shape of the tables
  make bench-rank ARGS="evaluation --seed 2"         other made-up evidence
"""


def _size(
    name: str, default: int, text: str, least: int = 1
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """An option that says how much."""
    return click.option(
        name, type=click.IntRange(min=least), default=default, show_default=True, help=text
    )


@click.command(epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("parts", nargs=-1, type=click.Choice(PARTS))
@_size("--order-rows", 10_000_000, "Verdicts of the order part.")
@_size("--order-challenges", 10_000, "Challenges of the order part.")
@_size("--rows", 1_000_000, "Verdicts of the rankings part.")
@click.option(
    "--challenges",
    multiple=True,
    type=click.IntRange(min=1),
    default=(1_000, 10_000),
    show_default=True,
    help="Challenges of the rankings part; may be given several times.",
)
@_size("--matches", 1_000_000, "Matches of the standings part.")
@_size("--wallets", 100_000, "Wallets of the standings part.", least=2)
@_size("--loop-matches", 20_000, "Of those, how many the loop of upserts is measured on.")
@_size("--evidence", 100_000, "Evidence rows of the evaluation part, of 20 records each.")
@_size("--evidence-challenges", 204, "Challenges of the evaluation part.")
@_size("--loop-evidence", 10_000, "Of those rows, how many the loop is measured on.")
@options("rank.json")
def main(
    parts: tuple[str, ...],
    order_rows: int,
    order_challenges: int,
    rows: int,
    challenges: tuple[int, ...],
    matches: int,
    wallets: int,
    loop_matches: int,
    evidence: int,
    evidence_challenges: int,
    loop_evidence: int,
    settings: str,
    seed: int,
    output: Path,
    strict: bool,
) -> None:
    """Measure what decides who is paid: PARTS of it, or everything.

    \b
    order: rank ten million verdicts in memory, beside PostgreSQL and pandas.
    rankings: from table to table, beside a loop over challenges.
    standings: a season, beside a loop of upserts.
    evaluation: evidence to verdicts, beside a loop over rows.
    """
    wanted = parts or PARTS
    with measuring(settings, output) as run:
        if "order" in wanted:
            sizes = (order_rows, order_challenges)
            run.part("order", partial(order, run.databases, run.folder, *sizes, seed))
        if "rankings" in wanted:
            run.part("rankings", partial(rankings, run.databases, rows, challenges, seed))
        if "standings" in wanted:
            sizes = (matches, wallets, loop_matches)
            run.part("standings", partial(standings, run.databases, *sizes, seed))
        if "evaluation" in wanted:
            sizes = (evidence, evidence_challenges, loop_evidence)
            run.part("evaluation", partial(evaluation, run.databases, *sizes, seed))
    finish(run.results, bars(run.results), show, output, strict=strict)


if __name__ == "__main__":
    main()

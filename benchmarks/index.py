"""How fast the indexer is, and in how much memory: `make bench-index`, or this with --help."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from benchmarks.command import finish, measuring, options
from benchmarks.parts import empty_blocks, raw, side_by_side
from benchmarks.report import bars, show

PARTS = ("raw", "side-by-side", "empty-blocks")
EXAMPLES = """\b
Examples:
  make bench-index                                everything, with the bars' verdicts
  make bench-index ARGS="raw --events 20000"      only the indexer's own speed, quickly
  make bench-index ARGS="side-by-side"            only against the baseline
  make bench-index ARGS="--settings throwaway"    on a database that may forget its commits
"""


@click.command(epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("parts", nargs=-1, type=click.Choice(PARTS))
@click.option(
    "--events",
    type=click.IntRange(min=100),
    default=100_000,
    show_default=True,
    help="Events of the raw part.",
)
@click.option(
    "--per-block",
    multiple=True,
    type=click.FloatRange(min=1),
    default=(10, 2.5),
    show_default=True,
    help="Events in a block that has any, in the raw part; may be given several times.",
)
@click.option(
    "--side-events",
    type=click.IntRange(min=100),
    default=50_000,
    show_default=True,
    help="Events of the side-by-side part.",
)
@click.option(
    "--side-blocks",
    type=click.IntRange(min=10),
    default=20_000,
    show_default=True,
    help="Blocks of the side-by-side part.",
)
@click.option(
    "--blocks",
    type=click.IntRange(min=1000),
    default=1_000_000,
    show_default=True,
    help="Empty blocks; a tenth of them is the comparison for memory.",
)
@options("index.json")
def main(
    parts: tuple[str, ...],
    events: int,
    per_block: tuple[float, ...],
    side_events: int,
    side_blocks: int,
    blocks: int,
    settings: str,
    seed: int,
    output: Path,
    strict: bool,
) -> None:
    """Measure the indexer: PARTS of it, or everything.

    \b
    raw: raw JSON-RPC bytes to committed rows, with and without projections.
    side-by-side: from the same anvil, against a plain polling indexer.
    empty-blocks: a million of them, and the memory that takes.
    """
    wanted = parts or PARTS
    with measuring(settings, output) as run:
        if "raw" in wanted:
            run.part("raw", partial(raw, run.databases, events, per_block, seed))
        if "side-by-side" in wanted:
            ours_and_theirs = partial(
                side_by_side, run.supervisor, run.databases, side_events, side_blocks, seed
            )
            run.part("side_by_side", ours_and_theirs)
        if "empty-blocks" in wanted:
            sizes = (blocks // 10, blocks)
            run.part(
                "empty_blocks", partial(empty_blocks, run.supervisor, run.databases, sizes, seed)
            )
    finish(run.results, bars(run.results), show, output, strict=strict)


if __name__ == "__main__":
    main()

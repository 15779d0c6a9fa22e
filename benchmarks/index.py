"""How fast the indexer is, and in how much memory: `make bench-index`, or this with --help."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks.common import (
    LOCAL,
    SETTINGS,
    ChildFailed,
    load,
    machine,
    server,
    told_settings,
)
from benchmarks.common import Progress as Report
from benchmarks.parts import empty_blocks, raw, side_by_side
from benchmarks.report import bars, show
from lightchallenge_dagster.devnet.supervisor import Supervisor
from lightchallenge_dagster.errors import LightChallengeError

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
@click.option(
    "--settings",
    type=click.Choice(list(SETTINGS)),
    default="durable",
    show_default=True,
    help="Of PostgreSQL: durable are its own defaults, throwaway commits without waiting for the"
    " disk.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the made-up events.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=LOCAL / "index.json",
    help="Where the figures go as JSON.  [default: .local/bench/index.json]",
)
@click.option("--strict", is_flag=True, help="End with 1 when a bar is missed.")
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

    raw: raw JSON-RPC bytes to committed rows, with and without projections.
    side-by-side: from the same anvil, against a plain polling indexer.
    empty-blocks: a million of them, and the memory that takes.
    """
    console = Console(width=None if sys.stdout.isatty() else 120)
    wanted = parts or PARTS
    results: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
    }
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bench-") as folder,
            Supervisor(Path(folder)) as supervisor,
            server(supervisor, settings) as databases,
            Progress(*columns, console=Console(stderr=True), transient=True) as progress,
        ):
            results["settings"] = {"name": settings, **told_settings(databases.postgres)}

            def reporting(part: str) -> Report:
                task = progress.add_task(part, total=1.0)

                def report(share: float, label: str) -> None:
                    progress.update(task, completed=share, description=f"{part}: {label}")

                return report

            if "raw" in wanted:
                results["raw"] = raw(databases, events, per_block, seed, reporting("raw"))
            if "side-by-side" in wanted:
                results["side_by_side"] = side_by_side(
                    supervisor,
                    databases,
                    side_events,
                    side_blocks,
                    seed,
                    reporting("side by side"),
                )
            if "empty-blocks" in wanted:
                results["empty_blocks"] = empty_blocks(
                    supervisor, databases, (blocks // 10, blocks), seed, reporting("empty blocks")
                )
    except (LightChallengeError, ChildFailed) as error:
        raise click.ClickException(str(error)) from error
    results["machine"]["load_after"] = load()
    verdicts = bars(results)
    results["bars"] = [asdict(bar) for bar in verdicts]
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(results, indent=1) + "\n")
    show(console, results)
    console.print(f"All figures: {output}")
    if strict and not all(bar.met for bar in verdicts):
        raise SystemExit(1)


if __name__ == "__main__":
    main()

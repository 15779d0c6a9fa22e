"""How fast the indexer is, and in how much memory: `make bench-index`, or this with --help."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks.common import (
    LOCAL,
    SETTINGS,
    TEMPLATE,
    ChildFailed,
    in_child,
    machine,
    server,
    told_settings,
)
from benchmarks.common import Progress as Report
from benchmarks.report import bars, show
from lightchallenge_dagster.devnet.processes import Postgres
from lightchallenge_dagster.devnet.supervisor import Supervisor
from lightchallenge_dagster.errors import LightChallengeError

PARTS = ("raw",)
EXAMPLES = """\b
Examples:
  make bench-index                                  everything, with the bars' verdicts
  make bench-index ARGS="raw --events 20000"        only the indexer's own speed, quickly
  make bench-index ARGS="--settings throwaway"      on a database that may forget its commits
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
    help="Events in a block that has any, in the raw part.",
)
@click.option(
    "--settings",
    type=click.Choice(list(SETTINGS)),
    default="durable",
    show_default=True,
    help="The PostgreSQL's: durable are its defaults, throwaway"
    " commits without waiting for the disk.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the made-up events.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=LOCAL / "index.json",
    show_default=False,
    help="Where the figures go as JSON [.local/bench/index.json].",
)
@click.option("--strict", is_flag=True, help="End with 1 when a bar is missed.")
def main(
    parts: tuple[str, ...],
    events: int,
    per_block: tuple[float, ...],
    settings: str,
    seed: int,
    output: Path,
    strict: bool,
) -> None:
    """Measure the indexer: PARTS of it, or everything.

    raw: raw JSON-RPC bytes to committed rows, with and without projections.
    """
    console = Console(width=None if sys.stdout.isatty() else 130)
    wanted = parts or PARTS
    results: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "settings": {},
    }
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bench-") as folder,
            Supervisor(Path(folder)) as supervisor,
            server(supervisor, settings) as postgres,
            Progress(*columns, console=Console(stderr=True), transient=True) as progress,
        ):
            results["settings"][settings] = told_settings(postgres)
            if "raw" in wanted:
                task = progress.add_task("raw", total=1.0)

                def report(share: float, label: str) -> None:
                    progress.update(task, completed=share, description=f"raw: {label}")

                results["raw"] = measure_raw(postgres, events, per_block, seed, report)
                progress.remove_task(task)
    except (LightChallengeError, ChildFailed) as error:
        raise click.ClickException(str(error)) from error
    results["bars"] = [vars_of(bar) for bar in bars(results)]
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(results, indent=1) + "\n")
    show(console, results)
    console.print(f"All figures: {output}")
    if strict and not all(bar.met for bar in bars(results)):
        raise SystemExit(1)


def measure_raw(
    postgres: Postgres, events: int, per_block: tuple[float, ...], seed: int, report: Report
) -> dict[str, Any]:
    """The raw part, once for each number of events a block."""
    runs: list[Mapping[str, Any]] = []
    for at, density in enumerate(per_block):
        names = {"logs only": f"raw_logs_{at}", "with projections": f"raw_all_{at}"}
        arguments = {
            "seed": seed,
            "events": events,
            "per_block": density,
            "databases": {
                what: postgres.create(name, template=TEMPLATE) for what, name in names.items()
            },
        }

        def within(share: float, label: str, at: int = at, density: float = density) -> None:
            report((at + share) / len(per_block), f"{density:g} events a block, {label}")

        runs.append({"per_block": density, **in_child("raw", arguments, within)})
        for name in names.values():
            postgres.drop(name)
    return {"runs": runs}


def vars_of(bar: Any) -> dict[str, Any]:
    """A slotted dataclass's fields."""
    return {name: getattr(bar, name) for name in bar.__slots__}


if __name__ == "__main__":
    main()

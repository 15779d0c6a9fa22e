"""What every benchmark command does: servers and progress around its parts, then the figures."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from benchmarks.common import (
    LOCAL,
    SETTINGS,
    ChildFailed,
    Databases,
    Progress,
    load,
    machine,
    server,
    told_settings,
)
from benchmarks.tables import Bar
from lightchallenge_dagster.devnet.supervisor import Supervisor
from lightchallenge_dagster.errors import LightChallengeError

Command = TypeVar("Command", bound=Callable[..., Any])


def options(output: str) -> Callable[[Command], Command]:
    """``--settings``, ``--seed``, ``--output`` (else .local/bench/``output``) and ``--strict``."""
    all_of_them = (
        click.option(
            "--settings",
            type=click.Choice(list(SETTINGS)),
            default="durable",
            show_default=True,
            help="Of PostgreSQL: durable are its own defaults, throwaway commits without waiting"
            " for the disk.",
        ),
        click.option("--seed", type=int, default=1, show_default=True, help="Of what is made up."),
        click.option(
            "--output",
            type=click.Path(path_type=Path, dir_okay=False),
            default=LOCAL / output,
            help=f"Where the figures go as JSON.  [default: .local/bench/{output}]",
        ),
        click.option("--strict", is_flag=True, help="End with 1 when a bar is missed."),
    )

    def decorate(command: Command) -> Command:
        for option in reversed(all_of_them):
            command = option(command)
        return command

    return decorate


@dataclass(slots=True)
class Measuring:
    """A run of a benchmark: its servers, and the ``results`` so far."""

    supervisor: Supervisor
    databases: Databases
    folder: Path
    """For files that may go when the run ends."""
    _bars: Bars
    _output: Path
    results: dict[str, Any] = field(default_factory=dict[str, Any])

    def part(self, name: str, measure: Callable[[Progress], dict[str, Any]]) -> None:
        """Measure a part, with a progress bar, and write down what is known by then."""
        label = name.replace("_", " ")
        task = self._bars.add_task(label, total=1.0)

        def report(share: float, what: str) -> None:
            self._bars.update(task, completed=share, description=f"{label}: {what}")

        before = load()
        self.results[name] = measure(report)
        self.results[name] |= {"at": _now(), "load_before": before, "load_after": load()}
        write(self._output, self.results)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def measuring(settings: str, output: Path) -> Generator[Measuring]:
    """Run the parts of a benchmark inside; an error ends the command with its message."""
    surroundings = {"at": _now(), "machine": machine()}
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bench-") as folder,
            Supervisor(Path(folder)) as supervisor,
            server(supervisor, settings) as databases,
            Bars(*columns, console=Console(stderr=True), transient=True) as bars,
        ):
            run = Measuring(supervisor, databases, Path(folder), bars, output)
            run.results |= surroundings
            run.results["settings"] = {"name": settings, **told_settings(databases.postgres)}
            yield run
    except (LightChallengeError, ChildFailed) as error:
        raise click.ClickException(str(error)) from error
    run.results["machine"]["load_after"] = load()


def write(output: Path, results: Mapping[str, Any]) -> None:
    """Write figures as JSON."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(results, indent=1) + "\n")


def finish(
    results: dict[str, Any],
    bars: Sequence[Bar],
    show: Callable[[Console, Mapping[str, Any]], None],
    output: Path,
    *,
    strict: bool,
) -> None:
    """Write the figures, print them, and with ``strict`` end with 1 when a bar is missed."""
    results["bars"] = [asdict(bar) for bar in bars]
    write(output, results)
    console = Console(width=None if sys.stdout.isatty() else 120)
    show(console, results)
    console.print(f"All figures: {output}")
    if strict and not all(bar.met or bar.aim for bar in bars):
        raise SystemExit(1)

"""How fast AIVM jobs are claimed: `make bench-queue`, or this with --help."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from benchmarks.command import finish, measuring, options
from benchmarks.queue.parts import arrivals, drain
from benchmarks.queue.report import bars, show

PARTS = ("drain", "arrivals")
EXAMPLES = """\b
Examples:
  make bench-queue                                   everything, about three minutes
  make bench-queue ARGS="drain --backlog 10000"      only claims per second
  make bench-queue ARGS="arrivals --rate 400"        only the wait, with more jobs a second
  make bench-queue ARGS="--settings throwaway"       on a server that waits for no disk
"""


def _sizes(
    name: str, default: tuple[int, ...], text: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """An option that says how many, several times."""
    return click.option(
        name,
        multiple=True,
        type=click.IntRange(min=0),
        default=default,
        show_default=True,
        help=f"{text} May be given several times.",
    )


@click.command(epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("parts", nargs=-1, type=click.Choice(PARTS))
@_sizes("--backlog", (10_000, 100_000), "Due jobs when the drain part begins.")
@_sizes("--waiting", (0, 10_000, 100_000), "Jobs of the arrivals part that wait for a retry.")
@click.option(
    "--rate",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Jobs a second that arrive.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.5),
    default=10.0,
    show_default=True,
    help="How long each measurement takes at most.",
)
@options("queue.json")
def main(
    parts: tuple[str, ...],
    backlog: tuple[int, ...],
    waiting: tuple[int, ...],
    rate: int,
    seconds: float,
    settings: str,
    seed: int,
    output: Path,
    strict: bool,
) -> None:
    """Measure the queue of AIVM jobs, with four workers: PARTS of it, or everything.

    \b
    drain: claims per second from a backlog; once more with what a worker writes of each job.
    arrivals: the time from queued to claimed, while jobs arrive at a steady rate.
    """
    wanted = parts or PARTS
    with measuring(settings, output) as run:
        if "drain" in wanted:
            run.part("drain", partial(drain, run.databases, backlog, seconds))
        if "arrivals" in wanted:
            run.part("arrivals", partial(arrivals, run.databases, waiting, rate, seconds))
    finish(run.results, bars(run.results), show, output, strict=strict)


if __name__ == "__main__":
    main()

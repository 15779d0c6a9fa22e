"""``python -m lightchallenge_dagster.devnet.demo [--exit] [--speed N] [--ui-port PORT]``."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Generator

import psycopg
from rich.console import Console

from lightchallenge_dagster.devnet.demo import check, report
from lightchallenge_dagster.devnet.demo.check import Assertion, DagsterApi
from lightchallenge_dagster.devnet.demo.progress import Diary, View, Watcher
from lightchallenge_dagster.devnet.demo.scenario import Cast, World, prepare
from lightchallenge_dagster.devnet.demo.stack import Stack, started
from lightchallenge_dagster.devnet.processes import StartError
from lightchallenge_dagster.errors import LightChallengeError

LOOK_S = 1.0
SETTLE_S = 120.0
# Where nobody says how wide the paper is: wide enough for the tables.
WIDTH = 140
INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Run the demo; 0 when its check holds, 1 when it does not, 130 when it was interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m lightchallenge_dagster.devnet.demo",
        description="The whole pipeline on this machine, from stakes to payouts.",
    )
    parser.add_argument("--exit", action="store_true", help="stop after the check")
    parser.add_argument(
        "--speed",
        type=_speed,
        default=1.0,
        metavar="N",
        help="how fast the challenges go: 0.5 leaves twice the time, for a slow machine",
    )
    parser.add_argument(
        "--ui-port", type=int, metavar="PORT", help="Dagster's UI (3000 if free, else any)"
    )
    options = parser.parse_args(argv)
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    diary = Diary(console)
    try:
        with started(ui_port=options.ui_port, speed=options.speed, say=diary.say) as stack:
            diary.say(f"Dagster's UI: {stack.ui_url}   logs: {stack.logs}")
            status = _play(stack, console, diary)
            if not options.exit:
                _stay(stack, console)
            return status
    except KeyboardInterrupt:
        _print(console, "interrupted; everything is stopped")
        return INTERRUPTED
    except LightChallengeError as error:
        _print(console, f"the demo failed: {error}", "red")
        return 1


def _play(stack: Stack, console: Console, diary: Diary) -> int:
    """The stories, then the check; the exit status."""
    world = World(stack, diary.say)
    prepare(world)
    cast = Cast(world)
    view = View(console, diary, stack.ui_url)
    begun = time.monotonic()
    try:
        with contextlib.closing(Watcher(stack)) as watcher, view.shown():
            cast.start()
            while not cast.done:
                if dead := stack.dead():
                    raise StartError(f"{', '.join(dead)} ended by itself:\n{stack.tails(*dead)}")
                view.update(watcher.look())
                time.sleep(LOOK_S)
            diary.say("everybody has claimed; waiting until all of it is counted")
            assertions = _settled(stack, world, watcher, view, patient=not cast.failures)
            snapshot = watcher.look()
    finally:
        world.stop.set()
    report.show(console, snapshot.challenges, snapshot.chain)
    _print(console, f"\nThe demo's check, {time.monotonic() - begun:.0f} s after the first stake:")
    for story, problem in cast.failures.items():
        _print(console, f"✗ {story}: {problem}", "red")
    for assertion in assertions:
        _print(console, str(assertion), "green" if assertion.holds else "red")
    failed = [*cast.failures, *(one.statement for one in assertions if not one.holds)]
    if not failed:
        _print(console, "everything holds", "bold green")
        return 0
    _print(console, f"{len(failed)} of the checks fail:", "bold red")
    for name in failed:
        _print(console, f"  {name}")
    _print(console, stack.tails("dagster", "network"), "dim")
    return 1


def _print(console: Console, text: str, style: str | None = None) -> None:
    """Text as it is: nothing in it is markup, and lines end where they end."""
    console.print(text, markup=False, highlight=False, style=style, soft_wrap=True)


def _settled(
    stack: Stack, world: World, watcher: Watcher, view: View, *, patient: bool
) -> list[Assertion]:
    """Every assertion once all hold, or as they stand when the patience ends.

    Asset checks count only when they were evaluated after everything else held.
    """
    api = DagsterApi(stack.ui_url)
    deadline = time.monotonic() + (SETTLE_S * stack.windows.pace if patient else 0)
    quiet_since: float | None = None
    while True:
        with _read(stack, world) as evidence:
            outcomes = check.of_outcomes(evidence)
        late = time.monotonic() > deadline
        if not all(one.holds for one in outcomes):
            quiet_since = None
        elif quiet_since is None:
            quiet_since = time.time()
        if late or (quiet_since is not None and check.looked_after_since(api, quiet_since)):
            assertions = outcomes + check.of_dagster(api)
            if late or all(one.holds for one in assertions):
                return assertions
        view.update(watcher.look())
        time.sleep(LOOK_S)


@contextlib.contextmanager
def _read(stack: Stack, world: World) -> Generator[check.Evidence]:
    evidence = check.read(stack.deployment, stack.database_url, world.challenges)
    try:
        yield evidence
    finally:
        evidence.connection.close()


def _stay(stack: Stack, console: Console) -> None:
    """Leave everything running until Ctrl-C."""
    _print(console, f"Dagster's UI stays at {stack.ui_url}; Ctrl-C stops everything")
    with contextlib.suppress(KeyboardInterrupt):
        while not stack.dead():
            time.sleep(1)
        dead = stack.dead()
        _print(console, f"{', '.join(dead)} ended by itself:\n{stack.tails(*dead)}", "red")


def _speed(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 2:
        raise argparse.ArgumentTypeError("between 0.1 and 2")
    return value


if __name__ == "__main__":
    try:
        sys.exit(main())
    except psycopg.Error as error:
        sys.exit(f"the demo failed: {error}")

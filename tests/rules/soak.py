"""The soak of the rules: every property with many examples, one after the other; exit code 1 when
one was found broken.

``python -m tests.rules --examples 50000``; ``-k words`` picks some. The longest properties take as
many examples as asked for, the others the same multiple of what they take in ``make test``. What
breaks a property is kept in .hypothesis and tried first by the next run, also of ``make test``.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SAY_EVERY_S = 30.0
USUAL_DEFAULT = 100
"""What Hypothesis takes for a property that asks for no number."""


@dataclass(slots=True)
class Played:
    """One property: how many examples it was tried with, how long that took, what broke it."""

    name: str
    examples: int
    seconds: float
    outcome: str
    report: str


class Soak:
    """A pytest plugin that shows examples as they pass, in the place of pytest's own report."""

    def __init__(self, console: Console, progress: Progress, ends: float | None) -> None:
        self.console = console
        self.progress = progress
        self.ends = ends
        self.played: list[Played] = []
        self.left_out = 0
        self.errors: list[str] = []
        self.tried = 0
        self.began = self.said = 0.0
        self.bar: TaskID | None = None
        self.all: TaskID | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            config.pluginmanager.unregister(reporter)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append(report.longreprtext)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.all = self.progress.add_task("all properties", total=len(session.items))
        tests = (getattr(item, "obj", None) for item in session.items)
        found = (getattr(test, "hypothesis", None) for test in tests)
        # A parametrized property is several items of one test.
        for handle in {id(each): each for each in found if each is not None}.values():
            handle.inner_test = self._counted(handle.inner_test)

    def _counted(self, test: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self.tried += 1
            if self.bar is not None:
                self.progress.advance(self.bar)
            self._say_that_it_goes_on()
            return test(*arguments, **named)

        # Hypothesis looks at the signature and reports the name of what it calls.
        counted.__wrapped__ = test  # type: ignore[attr-defined]
        counted.__name__, counted.__module__ = test.__name__, test.__module__
        return counted

    def _say_that_it_goes_on(self) -> None:
        """A line now and then where no bar can be drawn."""
        now = time.monotonic()
        if not self.console.is_terminal and now - self.said > SAY_EVERY_S:
            self.said = now
            self.console.print(f"     ...  {self.tried:>7,} examples", highlight=False)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.tried, self.began = 0, time.monotonic()
        self.said = self.began

    def pytest_runtest_call(self, item: pytest.Item) -> None:
        asked = getattr(getattr(item, "obj", None), "_hypothesis_internal_use_settings", None)
        total = None if asked is None else asked.max_examples
        self.bar = self.progress.add_task(_short(item.nodeid), total=total)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and not report.failed:
            return
        outcome = "xfailed" if hasattr(report, "wasxfail") else report.outcome
        name, seconds = _short(report.nodeid), time.monotonic() - self.began
        self.played.append(Played(name, self.tried, seconds, outcome, report.longreprtext))
        colour = {"passed": "green", "failed": "red"}.get(outcome, "yellow")
        self.console.print(
            f"[{colour}]{outcome:>7}[/]  {self.tried:>7,} examples  {seconds:>7.1f} s  {name}",
            highlight=False,
            soft_wrap=True,
        )
        if self.bar is not None:
            self.progress.remove_task(self.bar)
            self.bar = None
        if self.all is not None:
            self.progress.advance(self.all)

    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        if self.ends is not None and time.monotonic() > self.ends:
            self.left_out += 1
            return True
        return None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.rules",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--examples", type=int, default=50_000, help="of the longest (50000)")
    parser.add_argument("-k", dest="words", help="only properties that match, as in pytest -k")
    parser.add_argument("--seed", type=int, help="draw the same examples as another run did")
    parser.add_argument("--minutes", type=float, help="begin no property after so long")
    options = parser.parse_args(arguments)
    if options.examples < 1:
        parser.error("--examples must be at least 1")

    os.environ["SOAK_EXAMPLES"] = str(options.examples)
    os.chdir(ROOT)  # where .hypothesis and pyproject.toml are
    from tests.rules.effort import USUAL

    default = max(1, USUAL_DEFAULT * options.examples // USUAL)
    settings.register_profile("soak", max_examples=default, deadline=None, print_blob=True)
    console = Console()
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    ends = None if options.minutes is None else time.monotonic() + 60 * options.minutes
    soak = Soak(console, progress, ends)
    chosen = ["-k", options.words] if options.words else []
    seeded = [] if options.seed is None else [f"--hypothesis-seed={options.seed}"]
    with progress:
        code = pytest.main(
            [
                str(HERE),
                "-m",
                "hypothesis",
                "--timeout=0",
                "--hypothesis-profile=soak",
                *seeded,
                *chosen,
            ],
            plugins=[soak],
        )
    return _summary(console, soak, int(code))


def _summary(console: Console, soak: Soak, code: int) -> int:
    for error in soak.errors:
        console.print(error, markup=False, highlight=False, soft_wrap=True)
    broken = [each for each in soak.played if each.outcome == "failed"]
    for each in broken:
        console.rule(f"[red]{each.name}")
        console.print(each.report, markup=False, highlight=False, soft_wrap=True)
    console.rule()
    examples = sum(each.examples for each in soak.played)
    seconds = sum(each.seconds for each in soak.played)
    console.print(
        f"{len(soak.played)} properties, {examples:,} examples, {seconds / 60:.1f} minutes: "
        f"{len(broken)} broken"
        + (f"; {soak.left_out} not begun for lack of time" if soak.left_out else ""),
        highlight=False,
    )
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        console.print("no property matches")
    elif code == pytest.ExitCode.INTERRUPTED:
        console.print("interrupted: the others were not tried")
    return 0 if code == pytest.ExitCode.OK else 1


def _short(nodeid: str) -> str:
    file, _, test = nodeid.partition("::")
    return f"{Path(file).stem.removeprefix('test_')}: {test.removeprefix('test_')}"


if __name__ == "__main__":
    sys.exit(main())

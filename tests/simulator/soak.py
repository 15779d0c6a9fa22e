"""The soak: many seeds, two workers, resumable; exit code 1 when a table differed.

``python -m tests.simulator --seeds 1000 --minutes 60``; ``--seed N`` plays one and shows it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing.connection
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.simulator.worker import Worker

ROOT = Path(__file__).resolve().parents[2]
FINISHED = ROOT / ".local" / "soak-index.jsonl"
REGRESSIONS = Path(__file__).parent / "regressions.txt"
SLACK_S = 60.0
"""No new seed is begun this long before the time is over."""


def regressions() -> list[int]:
    """The seeds that once diverged."""
    lines = REGRESSIONS.read_text(encoding="utf-8").splitlines()
    return [int(line.split()[0]) for line in lines if line.strip() and not line.startswith("#")]


def remember(seed: int, why: str) -> None:
    """Keep a seed that diverged, so that every ``make test`` plays it."""
    if seed not in regressions():
        with REGRESSIONS.open("a", encoding="utf-8") as file:
            file.write(f"{seed}  {' '.join(why.split())[:100]}\n")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many, from --first on")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop by then; resume later")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--fresh", action="store_true", help="forget which seeds are done")
    parser.add_argument("--seed", type=int, help="play this seed only, and say what happened")
    parser.add_argument("--mutate", help="break the indexer on purpose (see mutations.py)")
    parser.add_argument("--no-remember", action="store_true", help="leave regressions.txt alone")
    options = parser.parse_args(arguments)
    console = Console()
    if options.seed is not None:
        return _one(console, options.seed, options.mutate)
    return _soak(console, options)


def _one(console: Console, seed: int, mutation: str | None) -> int:
    worker = Worker()
    try:
        worker.ask(seed, mutation=mutation)
        result = worker.answer()
    finally:
        worker.close()
    for name, value in result.items():
        if name != "differences":
            console.print(f"{name:>12}  {value}")
    for difference in result["differences"]:
        console.print(f"[red]DIFFERS[/red] seed {seed}", highlight=False)
        console.print(difference, markup=False, highlight=False, soft_wrap=True)
    return 1 if result["differences"] else 0


def _finished(first: int, seeds: int) -> dict[int, dict[str, Any]]:
    if not FINISHED.exists():
        return {}
    found: dict[int, dict[str, Any]] = {}
    for line in FINISHED.read_text(encoding="utf-8").splitlines():
        # The last line may be half: whoever wrote it was killed.
        try:
            one = json.loads(line)
        except ValueError:
            continue
        if first <= one["seed"] < first + seeds:
            found[one["seed"]] = one
    return found


def _soak(console: Console, options: argparse.Namespace) -> int:
    FINISHED.parent.mkdir(exist_ok=True)
    if options.fresh:
        FINISHED.unlink(missing_ok=True)
    done = _finished(options.first, options.seeds)
    # A seed that diverged is played again: the indexer may be right by now.
    done = {seed: one for seed, one in done.items() if not one["differences"]}
    left = [n for n in range(options.first, options.first + options.seeds) if n not in done]
    if done:
        console.print(f"{len(done)} seeds were finished before; {len(left)} are left")
    deadline = time.monotonic() + options.minutes * 60 - SLACK_S
    played: list[dict[str, Any]] = []
    columns = (
        TextColumn("soak-index"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with (
        FINISHED.open("a", encoding="utf-8") as file,
        Progress(*columns, console=console, refresh_per_second=1) as progress,
    ):
        bar = progress.add_task("", total=options.seeds, completed=len(done))
        for result in _played(left, options.workers, deadline, options.mutate):
            played.append(result)
            if options.mutate is None:
                file.write(json.dumps(result) + "\n")
                file.flush()
            if result["differences"]:
                progress.console.print(f"[red]DIFFERS[/red] seed {result['seed']}", highlight=False)
                for one in result["differences"][:5]:
                    progress.console.print(one[:2000], markup=False, highlight=False)
                if not options.no_remember and options.mutate is None:
                    remember(result["seed"], result["differences"][0])
            wrong = sum(bool(one["differences"]) for one in played)
            progress.update(bar, advance=1, description=f"{wrong} divergences")
    everything = [*done.values(), *played]
    _summary(console, everything, options.seeds)
    if len(played) < len(left):
        console.print(f"the time is over; {len(left) - len(played)} seeds are left: run it again")
    return 1 if any(one["differences"] for one in everything) else 0


def _played(
    seeds: list[int], workers: int, deadline: float, mutation: str | None
) -> Iterator[dict[str, Any]]:
    """Results as they come, until all seeds are played or the time is over."""
    waiting = list(seeds)
    busy: dict[Any, Worker] = {}

    def give(worker: Worker) -> None:
        if waiting and time.monotonic() < deadline:
            worker.ask(waiting.pop(0), mutation=mutation)
            busy[worker.pipe] = worker
        else:
            worker.close()

    for _ in range(max(1, min(workers, len(seeds)))):
        give(Worker())
    while busy:
        for pipe in multiprocessing.connection.wait(list(busy)):
            worker = busy.pop(pipe)
            result = worker.answer()
            yield result
            # One whose servers broke is gone: the seed is not done, the others go on.
            give(worker if worker.alive else Worker())


def _summary(console: Console, results: list[dict[str, Any]], wanted: int) -> None:
    wrong = [one["seed"] for one in results if one["differences"]]
    totals = {name: Counter[str]() for name in ("faults", "kills", "refusals", "events")}
    for one in results:
        for name, total in totals.items():
            total.update(one[name])
    depths = sorted(depth for one in results for depth in one["reorgs"])
    console.print(f"seeds run: {len(results)} of {wanted}; divergences: {len(wrong)} {wrong or ''}")
    console.print(
        f"blocks {sum(one['blocks'] for one in results)},"
        f" lives {sum(one['lives'] for one in results)},"
        f" operations {sum(one['operations'] for one in results)},"
        f" logs hidden by a node and found by the second reading"
        f" {sum(one['late'] for one in results)}"
        f" (by a third only: {sum(one['hidden_twice'] for one in results)} seeds)"
    )
    if depths:
        deciles = [depths[len(depths) * n // 10] for n in range(1, 10)]
        console.print(f"reorgs {len(depths)}: depth {depths[0]} to {depths[-1]}, deciles {deciles}")
    for name, title in (("kills", "SIGKILLs"), ("refusals", "refusals"), ("faults", "faults")):
        counts = ", ".join(f"{key} {count}" for key, count in sorted(totals[name].items()))
        console.print(f"{title} {sum(totals[name].values())}: {counts}")
    if results:
        seconds = sorted(one["seconds"] for one in results)
        console.print(
            f"a seed took {seconds[len(seconds) // 2]:.1f} s (median), {seconds[-1]:.1f} s at most"
        )

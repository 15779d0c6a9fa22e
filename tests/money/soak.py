"""The money soak: seeds of the storm until enough processes were killed; 1 on a divergence.

``python -m tests.money --kills 500 --minutes 55``; ``--seed N`` plays one and shows it. What is
done is kept in .local/soak-money.jsonl, so the next call goes on from there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import multiprocessing.connection
import multiprocessing.util
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.money.storm import Arena, Result, arena, run

ROOT = Path(__file__).resolve().parents[2]
FINISHED = ROOT / ".local" / "soak-money.jsonl"
SLACK_S = 90.0
"""No new seed is begun this long before the time is over."""
LYING = {"some": 3, "all": 1, "none": 0}
"""Behind a lying node is every so-manieth seed."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.money", description=__doc__)
    parser.add_argument("--kills", type=int, default=500, help="how many SIGKILLs in all")
    parser.add_argument("--minutes", type=float, default=55.0, help="stop by then; resume later")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--workers", type=int, default=2, help="seeds at a time")
    parser.add_argument("--lying", choices=LYING, default="some", help="nodes that lie as well")
    parser.add_argument("--fresh", action="store_true", help="forget which seeds are done")
    parser.add_argument("--seed", type=int, help="play this seed only, and say what happened")
    parser.add_argument("--times", type=int, default=1, help="so often (with --seed)")
    options = parser.parse_args(arguments)
    console = Console()
    if options.seed is not None:
        return _one(console, options)
    return _soak(console, options)


def lies(seed: int, lying: str) -> bool:
    """Whether a seed is played behind a lying node."""
    every = LYING[lying]
    return bool(every) and seed % every == every - 1


def _one(console: Console, options: argparse.Namespace) -> int:
    wrong = 0
    lying = lies(options.seed, options.lying)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin) as pool:
        for _ in range(options.times):
            result = pool.submit(_play, options.seed, lying).result()
            wrong += bool(result["differences"])
            for name, value in result.items():
                if name != "differences":
                    console.print(f"{name:>12}  {value}", highlight=False)
            _show(console, result, 100)
    return 1 if wrong else 0


def _show(console: Console, result: dict[str, Any], most: int) -> None:
    if not result["differences"]:
        return
    console.print(
        f"[red]DIFFERS[/red] seed {result['seed']}: play it again with --seed {result['seed']}"
        " --times 5",
        highlight=False,
    )
    for one in result["differences"][:most]:
        console.print(one[-2000:], markup=False, highlight=False, soft_wrap=True)


def _finished() -> list[dict[str, Any]]:
    if not FINISHED.exists():
        return []
    found: dict[int, dict[str, Any]] = {}
    for line in FINISHED.read_text(encoding="utf-8").splitlines():
        # The last line may be half: whoever wrote it was killed.
        with contextlib.suppress(ValueError):
            one = json.loads(line)
            found[one["seed"]] = one
    # A seed that diverged is played again: the pipeline may be right by now.
    return [one for one in found.values() if not one["differences"]]


def _killed(results: list[dict[str, Any]]) -> int:
    return sum(sum(one["kills"].values()) for one in results)


def _soak(console: Console, options: argparse.Namespace) -> int:
    FINISHED.parent.mkdir(exist_ok=True)
    if options.fresh:
        FINISHED.unlink(missing_ok=True)
    results = _finished()
    if results:
        console.print(f"{len(results)} seeds with {_killed(results)} kills were finished before")
    columns = (
        TextColumn("soak-money"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("kills; {task.description}"),
        TimeElapsedColumn(),
    )
    deadline = time.monotonic() + options.minutes * 60 - SLACK_S
    done = {one["seed"] for one in results}
    with (
        FINISHED.open("a", encoding="utf-8") as file,
        Progress(*columns, console=console, refresh_per_second=1) as progress,
    ):
        bar = progress.add_task("", total=options.kills, completed=_killed(results))
        for result in _played(options, done, _killed(results), deadline):
            results.append(result)
            file.write(json.dumps(result) + "\n")
            file.flush()
            _show(progress.console, result, 5)
            wrong = sum(bool(one["differences"]) for one in results)
            progress.update(
                bar,
                completed=min(_killed(results), options.kills),
                description=f"{len(results)} seeds, {wrong} divergences",
            )
    _summary(console, results, options.kills)
    if _killed(results) < options.kills:
        console.print("the time is over: run it again, it goes on from here")
    return 1 if any(one["differences"] for one in results) else 0


def _played(
    options: argparse.Namespace, done: set[int], killed: int, deadline: float
) -> Iterator[dict[str, Any]]:
    """Results as they come, until enough were killed or the time is over."""
    context = multiprocessing.get_context("spawn")
    seed = options.first
    with ProcessPoolExecutor(options.workers, context, _begin) as pool:
        busy: set[Future[dict[str, Any]]] = set()
        while True:
            while (
                len(busy) < options.workers
                and killed < options.kills
                and time.monotonic() < deadline
            ):
                while seed in done:
                    seed += 1
                busy.add(pool.submit(_play, seed, lies(seed, options.lying)))
                seed += 1
            if not busy:
                return
            ready, busy = wait(busy, return_when=FIRST_COMPLETED)
            for one in ready:
                result = one.result()
                killed += sum(result["kills"].values())
                yield result


def _summary(console: Console, results: list[dict[str, Any]], wanted: int) -> None:
    wrong = [one["seed"] for one in results if one["differences"]]
    console.print(
        f"seeds {len(results)}, processes killed {_killed(results)} of {wanted}, workers"
        f" {sum(one['lives'] for one in results)}; divergences: {len(wrong)} {wrong or ''}",
        highlight=False,
    )
    for name, title in (
        ("kills", "SIGKILLs"),
        ("reorgs", "reorgs"),
        ("lies", "lies"),
        ("effects", "confirmed effects"),
        ("troubles", "runs that ended with"),
    ):
        total = Counter[str]()
        for one in results:
            total.update(one[name])
        counts = ", ".join(f"{key} {count}" for key, count in sorted(total.items()))
        console.print(f"{title} {sum(total.values())}: {counts}", highlight=False)
    if results:
        seconds = sorted(one["seconds"] for one in results)
        console.print(
            f"a seed took {seconds[len(seconds) // 2]:.1f} s (median), {seconds[-1]:.1f} s at most"
        )


# ── In a process of its own ─────────────────────────────────────────────────────────────────

_arenas: list[Arena] = []


def _begin() -> None:
    """Servers for this process's seeds; they end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    folder = Path(tempfile.mkdtemp(prefix="storm-"))
    stack = contextlib.ExitStack()
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    _arenas.append(stack.enter_context(arena(folder)))
    multiprocessing.util.Finalize(None, stack.close, exitpriority=10)


def _end_with_the_parent() -> None:
    """A parent that was killed cannot say so, and its pool would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def _play(seed: int, lying: bool) -> dict[str, Any]:
    try:
        return run(_arenas[0], seed, lying=lying).plain()
    except Exception:  # noqa: BLE001 — told as a divergence: the storm itself is broken
        return Result(seed, [f"the storm itself failed: {traceback.format_exc()}"]).plain()


if __name__ == "__main__":
    sys.exit(main())

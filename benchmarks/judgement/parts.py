"""The parts of `make bench-rank`: databases filled, each measurement in a process of its own.

Every part fails unless all sides come to the same result.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.common import ChildFailed, Databases, Progress, in_child, scaled

RANKERS = ("polars", "postgres", "pandas")
COMMITS = ("challenge", "statement")
"""What the per-challenge loop commits at a time."""

EVERY = (1, 1_000)
"""Upserts after which the loop over a season's matches commits."""

PROCESSES = (1, 2)


def order(
    databases: Databases,
    folder: Path,
    rows: int,
    challenges: int,
    seed: int,
    progress: Progress,
    times: int = 3,
) -> dict[str, Any]:
    """Rank rows in memory, beside PostgreSQL and pandas."""
    path = str(folder / "verdicts.parquet")
    wanted = {"seed": seed, "rows": rows, "challenges": challenges, "path": path}
    made = in_child("order-rows", wanted, scaled(progress, 0.0, 0.1, ""))
    found: dict[str, Any] = {**wanted, "by_wallet": made["by_wallet"]}
    # The slowest last: PostgreSQL's window function takes longest, most of it to load.
    shares = {"polars": (0.1, 0.2), "pandas": (0.2, 0.5), "postgres": (0.5, 1.0)}
    for name, share in shares.items():
        with databases.fresh() as url:
            arguments = {"path": path, "database_url": url, "times": times}
            found[name] = in_child(f"order-{name}", arguments, scaled(progress, *share, ""))
    Path(path).unlink()
    _refuse_different({name: found[name]["check"] for name in RANKERS})
    return found


def rankings(
    databases: Databases,
    rows: int,
    challenge_counts: tuple[int, ...],
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """Rank from table to table, beside the per-challenge loop; once for each count."""
    runs: list[dict[str, Any]] = []
    for at, challenges in enumerate(challenge_counts):
        share = at / len(challenge_counts), (at + 1) / len(challenge_counts)
        within = scaled(progress, *share, f"{challenges:,} challenges:")
        wanted = {"seed": seed, "rows": rows, "challenges": challenges}
        runs.append({**wanted, **_ranking(databases, wanted, within)})
    return {"runs": runs}


def _ranking(databases: Databases, wanted: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def fill(url: str) -> None:
        filling = scaled(progress, 0.0, 0.3, "")
        in_child("ranking-rows", {**wanted, "database_url": url}, filling)

    with databases.filled(fill) as copy:
        with copy() as url:
            ours = scaled(progress, 0.3, 0.5, "")
            found["ours"] = in_child("ranking-ours", {"database_url": url}, ours)
        for at, commit in enumerate(COMMITS):
            with copy() as url:
                arguments = {"database_url": url, "commit": commit}
                loop = scaled(progress, 0.5 + at / 4, 0.75 + at / 4, "the loop,")
                found[commit] = in_child("ranking-loop", arguments, loop)
    for commit in COMMITS:
        if (found[commit]["challenges"], found[commit]["rows"]) != (
            wanted["challenges"],
            wanted["rows"],
        ):
            raise ChildFailed(f"the loop left something out: {found[commit]}")
    _refuse_different({name: found[name]["winners"] for name in ("ours", *COMMITS)})
    return found


def standings(
    databases: Databases, matches: int, wallets: int, part: int, seed: int, progress: Progress
) -> dict[str, Any]:
    """A season's standings, beside a loop of upserts over the first ``part`` of its matches.

    Ours is computed once more over that part alone, to see that both come to the same.
    """
    part = min(part, matches)
    wanted = {"seed": seed, "wallets": wallets}
    found: dict[str, Any] = {**wanted, "matches": matches, "part": part}

    def fill(url: str, count: int, within: Progress) -> str:
        arguments = {**wanted, "matches": count, "database_url": url}
        return in_child("season-rows", arguments, within)["season_id"]

    with databases.fresh() as url:
        season_id = fill(url, matches, scaled(progress, 0.0, 0.3, ""))
        arguments = {"database_url": url, "season_id": season_id, "matches": part}
        found["ours"] = in_child("season-ours", arguments, scaled(progress, 0.3, 0.4, ""))
    filling = scaled(progress, 0.4, 0.45, "")
    with databases.filled(lambda url: fill(url, part, filling)) as copy:
        with copy() as url:
            arguments["database_url"] = url
            alike = in_child("season-ours", arguments, scaled(progress, 0.45, 0.5, ""))
        for at, every in enumerate(EVERY):
            with copy() as url:
                loop = {**arguments, "database_url": url, "every": every}
                within = scaled(progress, 0.5 + at / 4, 0.75 + at / 4, "the loop,")
                found[f"every {every}"] = in_child("season-loop", loop, within)
    for every in EVERY:
        if found[f"every {every}"]["matches"] != part:
            raise ChildFailed(f"the loop saw {found[f'every {every}']['matches']} matches")
    loops = {f"every {every}": found[f"every {every}"]["table"] for every in EVERY}
    _refuse_different({"ours": alike["table"], **loops})
    return found


def evaluation(
    databases: Databases, rows: int, challenges: int, part: int, seed: int, progress: Progress
) -> dict[str, Any]:
    """Judge evidence with one process and with two, beside a loop over the first ``part`` rows."""
    part = min(part, rows)
    found: dict[str, Any] = {"seed": seed, "rows": rows, "challenges": challenges, "part": part}

    def fill(url: str) -> None:
        arguments = {"seed": seed, "rows": rows, "challenges": challenges, "database_url": url}
        found.update(in_child("evidence-rows", arguments, scaled(progress, 0.0, 0.4, "")))

    with databases.filled(fill) as copy:
        for at, processes in enumerate(PROCESSES):
            with copy() as url:
                arguments = {"database_url": url, "slice": part, "processes": processes}
                within = scaled(progress, 0.4 + 0.2 * at, 0.6 + 0.2 * at, "")
                found[f"ours {processes}"] = in_child("evaluation-ours", arguments, within)
        with copy() as url:
            arguments = {"database_url": url, "slice": part}
            loop = scaled(progress, 0.8, 1.0, "the loop,")
            found["loop"] = in_child("evaluation-loop", arguments, loop)
    sides = ("loop", *(f"ours {processes}" for processes in PROCESSES))
    _refuse_different({side: found[side]["verdicts"] for side in sides})
    return found


def _refuse_different(results: Mapping[str, Any]) -> None:
    """A benchmark of who does the work, not of who does something else."""
    first = next(iter(results.values()))
    if any(result != first for result in results.values()):
        raise ChildFailed(f"the sides do not come to the same: {dict(results)}")

"""The benchmark's parts: servers and chains set up, each measurement in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.common import LOCAL, ChildFailed, Databases, Progress, in_child, scaled
from benchmarks.devchain import dev_chain
from benchmarks.front import Front, Stretch, fronting
from lightchallenge_dagster.devnet.supervisor import Supervisor

SIDES = ("ours", "plain", "batched", "lean")
EMPTY_PER_REAL = 5_000
REAL_EVENTS_PER_BLOCK = 2.5


def raw(
    databases: Databases,
    events: int,
    per_block: tuple[float, ...],
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """Raw bytes to committed rows, once for each number of events a block."""
    runs: list[dict[str, Any]] = []
    for at, density in enumerate(per_block):
        label = f"{density:g} events a block"
        within = scaled(progress, at / len(per_block), (at + 1) / len(per_block), label)
        with (
            databases.fresh() as logs_only,
            databases.fresh() as with_projections,
        ):
            arguments = {
                "seed": seed,
                "events": events,
                "per_block": density,
                "databases": {"logs only": logs_only, "with projections": with_projections},
            }
            runs.append({"per_block": density, **in_child("raw", arguments, within)})
    return {"runs": runs}


def side_by_side(
    supervisor: Supervisor,
    databases: Databases,
    events: int,
    blocks: int,
    seed: int,
    progress: Progress,
    folder: Path = LOCAL,
) -> dict[str, Any]:
    """Our follower and the baselines on one node, each into a database of its own."""
    filling = scaled(progress, 0.0, 0.5, "anvil")
    with dev_chain(
        supervisor, seed=seed, wanted=events, blocks=blocks, progress=filling, folder=folder
    ) as chain:
        found: dict[str, Any] = {
            "chain": {"events": chain.events, "blocks": chain.head, "cached": chain.cached}
        }
        for at, side in enumerate(SIDES):
            share = 0.5 / len(SIDES)
            within = scaled(progress, 0.5 + at * share, 0.5 + (at + 1) * share, "")
            with databases.fresh() as url:
                arguments = {
                    "side": side,
                    "rpc_url": chain.node.url,
                    "database_url": url,
                    "first": chain.first,
                    "head": chain.head,
                }
                found[side] = in_child("side", arguments, within)
    for side in SIDES:
        # A benchmark of who does the work, not of who leaves it out.
        if found[side]["events"] != found["chain"]["events"]:
            raise ChildFailed(f"{side} saw {found[side]['events']} of {found['chain']['events']}")
        ours = {table: found["ours"]["rows"][table] for table in found[side]["rows"]}
        if found[side]["rows"] != ours:
            raise ChildFailed(f"{side} wrote {found[side]['rows']}, ours {ours}")
    return found


def empty_blocks(
    supervisor: Supervisor,
    databases: Databases,
    sizes: tuple[int, ...],
    seed: int,
    progress: Progress,
    folder: Path = LOCAL,
    empty_per_real: int = EMPTY_PER_REAL,
) -> dict[str, Any]:
    """Long rows of empty blocks with one of the node's blocks in every ``empty_per_real``."""
    real = max(2, max(sizes) // empty_per_real)
    runs: list[dict[str, Any]] = []
    filling = scaled(progress, 0.0, 0.1, "anvil")
    with dev_chain(
        supervisor,
        seed=seed,
        wanted=round(real * REAL_EVENTS_PER_BLOCK),
        blocks=real,
        progress=filling,
        folder=folder,
    ) as chain:
        done = 0
        for size in sizes:
            share = 0.1 + 0.9 * done / sum(sizes)
            done += size
            within = scaled(progress, share, 0.1 + 0.9 * done / sum(sizes), f"{size:,}")
            front = Front(chain.node.url, Stretch(size, max(2, size // empty_per_real)))
            with fronting(front) as url, databases.fresh() as database_url:
                arguments = {"rpc_url": url, "database_url": database_url, "blocks": size}
                runs.append({"empty": size, **in_child("empty", arguments, within)})
    return {"runs": runs}

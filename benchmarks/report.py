"""What was measured, as tables for a person; and each bar's verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.tables import Bar, bars_table, show_surroundings, stage_table, table

RAW_BAR = 25_000
RATIO_BAR = 10.0
EMPTY_BAR_S = 60.0
MEMORY_BAR = 1.1


def bars(results: Mapping[str, Any]) -> list[Bar]:
    """The verdicts on the parts that were measured."""
    found: list[Bar] = []
    if raw := results.get("raw"):
        for run in raw["runs"]:
            speed = run["logs only"]["events_per_second"]
            found.append(
                Bar(
                    f"raw bytes into chain_logs, {run['per_block']:g} events a block",
                    f"at least {RAW_BAR:,}/s",
                    f"{speed:,.0f}/s",
                    speed >= RAW_BAR,
                )
            )
    if side := results.get("side_by_side"):
        ratio = side["ours"]["events_per_second"] / side["plain"]["events_per_second"]
        found.append(
            Bar(
                "end to end, against the plain baseline",
                f"at least {RATIO_BAR:g} times",
                f"{ratio:.1f} times",
                ratio >= RATIO_BAR,
            )
        )
    if empty := results.get("empty_blocks"):
        few, many = empty["runs"][0], empty["runs"][-1]
        found.append(
            Bar(
                f"{many['empty']:,} empty blocks in one run",
                f"at most {EMPTY_BAR_S:g} s",
                f"{many['seconds']:.1f} s",
                many["seconds"] <= EMPTY_BAR_S,
            )
        )
        growth = many["peak_memory"] / few["peak_memory"]
        found.append(
            Bar(
                f"memory at {many['empty']:,} blocks to that at {few['empty']:,}",
                f"at most {MEMORY_BAR:g} times",
                f"{growth:.3f} times",
                growth <= MEMORY_BAR,
            )
        )
    return found


def show(console: Console, results: Mapping[str, Any]) -> None:
    """Print everything that was measured."""
    show_surroundings(console, results)
    if raw := results.get("raw"):
        console.print(*_raw_tables(raw))
    if side := results.get("side_by_side"):
        ours = side["ours"]
        spent = [("end to end", ours["events"], ours["stages"])]
        console.print(_side_table(side), stage_table("Microseconds an event, by stage", spent))
        chain = side["chain"]
        console.print(
            f"{chain['events']:,} mixed events in {chain['blocks']:,} blocks of a real anvil,"
            " emitted by a bulk emitter at the contracts' addresses (the same made-up stories as in"
            " the raw part); getChallenge is read at the newest block, on all sides."
        )
    if empty := results.get("empty_blocks"):
        console.print(_empty_table(empty))
    console.print(bars_table(bars(results)))


def _raw_tables(raw: Mapping[str, Any]) -> tuple[Table, Table]:
    speeds = table(
        "Raw JSON-RPC bytes to committed",
        "what is written",
        "events a block",
        "events",
        "blocks",
        "MB",
        "s",
        "events/s",
        "CPU µs/event",
        "PostgreSQL's",
    )
    written = {
        "logs only": "logs, headers, checkpoint",
        "with projections": "and all projections",
    }
    spent: list[tuple[str, int, Mapping[str, float]]] = []
    for run in raw["runs"]:
        for name, what in written.items():
            one = run[name]
            speeds.add_row(
                what,
                f"{run['per_block']:g}",
                f"{one['events']:,}",
                f"{one['blocks']:,}",
                f"{one['bytes'] / 1e6:.0f}",
                f"{one['seconds']:.2f}",
                f"{one['events_per_second']:,.0f}",
                f"{one['seconds_cpu'] / one['events'] * 1e6:.1f}",
                f"{one['seconds_cpu_postgres'] / one['events'] * 1e6:.1f}",
            )
            spent.append((f"{run['per_block']:g} a block, {name}", one["events"], one["stages"]))
    return speeds, stage_table(
        "Microseconds an event, by stage (two threads: reading ahead, writing)", spent
    )


def _side_table(side: Mapping[str, Any]) -> Table:
    made = table(
        "End to end from anvil", "who", "events", "s", "events/s", "ratio", "RPC calls", "peak MB"
    )
    names = {
        "ours": "steps.index.follow",
        "plain": "plain baseline: the same tables, a commit a row",
        "batched": "the same tables, a commit a range",
        "lean": "one row an event, a commit a row",
    }
    for key, name in names.items():
        one = side[key]
        made.add_row(
            name,
            f"{one['events']:,}",
            f"{one['seconds']:.2f}",
            f"{one['events_per_second']:,.0f}",
            f"{side['ours']['events_per_second'] / one['events_per_second']:.1f}",
            f"{one['rpc_calls']:,}",
            f"{one['peak_memory'] / 1e6:.0f}",
        )
    return made


def _empty_table(empty: Mapping[str, Any]) -> Table:
    made = table(
        "Empty blocks, with a block that has logs in every few thousand",
        "blocks",
        "partitions",
        "logs",
        "RPC calls",
        "s",
        "blocks/s",
        "peak MB",
    )
    for run in empty["runs"]:
        made.add_row(
            f"{run['blocks']:,}",
            f"{run['partitions']}",
            f"{run['logs']:,}",
            f"{run['rpc_calls']:,}",
            f"{run['seconds']:.1f}",
            f"{run['blocks'] / run['seconds']:,.0f}",
            f"{run['peak_memory'] / 1e6:.1f}",
        )
    return made

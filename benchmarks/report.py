"""What was measured, as tables for a person; and each bar's verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

RAW_BAR = 25_000
RATIO_BAR = 10.0
EMPTY_BAR_S = 60.0
MEMORY_BAR = 1.1


@dataclass(frozen=True, slots=True)
class Bar:
    """Something the issue asks for, and what was found."""

    name: str
    wanted: str
    found: str
    met: bool


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
    return found


def show(console: Console, results: Mapping[str, Any]) -> None:
    """Print everything that was measured."""
    machine = results["machine"]
    console.print(
        f"\n{machine['cores']} cores, {machine['cpu']}, {machine['memory_gb']} GB;"
        f" Python {machine['python']}; load before: {machine['load_before'][0]}"
    )
    for name, settings in results["settings"].items():
        console.print(f"PostgreSQL ({name}): " + ", ".join(f"{k} {v}" for k, v in settings.items()))
    if raw := results.get("raw"):
        _show_raw(console, raw)
    verdicts = Table(title="Bars", title_justify="left")
    for column in ("what", "bar", "found", ""):
        verdicts.add_column(column)
    for bar in bars(results):
        verdicts.add_row(
            bar.name, bar.wanted, bar.found, "[green]met[/]" if bar.met else "[red]missed[/]"
        )
    console.print(verdicts)


def _show_raw(console: Console, raw: Mapping[str, Any]) -> None:
    table = Table(title="Raw JSON-RPC bytes to committed", title_justify="left")
    for column in ("events a block", "what is written", "events", "blocks", "MB", "s", "events/s"):
        table.add_column(column, justify="left" if column == "what is written" else "right")
    for run in raw["runs"]:
        for name in ("logs only", "with projections"):
            one = run[name]
            table.add_row(
                f"{run['per_block']:g}",
                "logs, headers, checkpoint" if name == "logs only" else "and all projections",
                f"{one['events']:,}",
                f"{one['blocks']:,}",
                f"{one['bytes'] / 1e6:.0f}",
                f"{one['seconds']:.2f}",
                f"{one['events_per_second']:,.0f}",
            )
    console.print(table)
    stages = Table(title="Seconds by stage", title_justify="left")
    stages.add_column("stage")
    columns = [
        (f"{run['per_block']:g} a block, {name}", run[name]["stages"])
        for run in raw["runs"]
        for name in ("logs only", "with projections")
    ]
    for title, _ in columns:
        stages.add_column(title, justify="right")
    names = list(dict.fromkeys(name for _, spent in columns for name in spent))
    for name in names:
        stages.add_row(name, *(f"{spent.get(name, 0.0):.2f}" for _, spent in columns))
    console.print(stages)

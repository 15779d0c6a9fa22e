"""What every benchmark's report is made of: tables, the surroundings, and each bar's verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Bar:
    """Something the issue asks for, and what was found. ``aim``: hoped for, not demanded."""

    name: str
    wanted: str
    found: str
    met: bool
    aim: bool = False


def table(title: str, *columns: str) -> Table:
    """A table whose first column is text and whose others are numbers."""
    made = Table(title=title, title_justify="left")
    for at, column in enumerate(columns):
        made.add_column(column, justify="left" if at == 0 else "right")
    return made


def stage_table(title: str, spent: Sequence[tuple[str, int, Mapping[str, float]]]) -> Table:
    """Microseconds for each of a column's rows, by stage: (column, rows, seconds by stage)."""
    made = table(title, "stage", *(column for column, _, _ in spent))
    for name in dict.fromkeys(name for _, _, seconds in spent for name in seconds):
        made.add_row(
            name, *(f"{seconds.get(name, 0.0) / rows * 1e6:.1f}" for _, rows, seconds in spent)
        )
    return made


def show_surroundings(console: Console, results: Mapping[str, Any]) -> None:
    """Print what it ran on, how busy that was, and PostgreSQL's settings."""
    machine = results["machine"]
    console.print(
        f"\n{machine['cores']} cores, {machine['cpu']}, {machine['memory_gb']} GB, Python"
        f" {machine['python']}; load {machine['load_before'][0]} before,"
        f" {machine['load_after'][0]} after"
    )
    settings = dict(results["settings"])
    name = settings.pop("name")
    told = ", ".join(f"{key} {value}" for key, value in settings.items())
    console.print(f"PostgreSQL ({name}), the same for all sides: {told}")


def moment(part: Mapping[str, Any]) -> str:
    """When a part was measured, and how busy the machine was."""
    if "at" not in part:
        return ""
    return (
        f"Until {part['at']}, load {part['load_before'][0]} before, {part['load_after'][0]} after."
    )


def bars_table(found: Sequence[Bar]) -> Table:
    """Each bar with its verdict."""
    made = Table(title="Bars", title_justify="left")
    for column in ("what", "bar", "found", ""):
        made.add_column(column)
    for bar in found:
        wanted = f"aim: {bar.wanted}" if bar.aim else bar.wanted
        missed = "[yellow]not reached[/]" if bar.aim else "[red]missed[/]"
        made.add_row(bar.name, wanted, bar.found, "[green]met[/]" if bar.met else missed)
    return made

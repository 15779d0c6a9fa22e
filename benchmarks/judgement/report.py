"""What `make bench-rank` measured, as tables for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.judgement.bars import RANKERS, bars, matches_per_second, rows_per_second
from benchmarks.judgement.parts import COMMITS, EVERY, PROCESSES
from benchmarks.tables import bars_table, moment, show_surroundings, stage_table, table

_COMMITTED = {"challenge": "a commit a challenge", "statement": "a commit a statement"}
_PASSES = {
    "first": "first (counts)",
    "unchanged": "again",
    "closing": "closing",
    "settled": "again, closed",
}


def show(console: Console, results: Mapping[str, Any]) -> None:
    """Print everything that was measured."""
    show_surroundings(console, results)
    if order := results.get("order"):
        console.print(_order_table(order), moment(order))
        console.print(
            f"In {order['by_wallet']:,} of {order['rows']:,} rows score and time are another's"
            " too: only the wallet decides. Nothing is read or sent; ours with all its refusals."
        )
    if rankings := results.get("rankings"):
        for run in rankings["runs"]:
            console.print(_rankings_table(run), _passes_table(run))
        console.print(moment(rankings))
    if standings := results.get("standings"):
        _show_standings(console, standings)
    if evaluation := results.get("evaluation"):
        _show_evaluation(console, evaluation)
    console.print(bars_table(bars(results)))


def _show_standings(console: Console, standings: Mapping[str, Any]) -> None:
    matches, part = standings["matches"], standings["part"]
    passes = standings["ours"]["passes"]
    spent = [(name, matches, one["stages"]) for name, one in passes.items()]
    console.print(_standings_table(standings), moment(standings))
    console.print(stage_table("Microseconds a match, by stage", spent))
    minutes = matches / matches_per_second(standings, "every 1") / 60
    console.print(
        f"The loop was measured on the first {part:,} matches: at that speed all would take"
        f" {minutes:,.0f} minutes."
    )


def _show_evaluation(console: Console, evaluation: Mapping[str, Any]) -> None:
    spent: list[tuple[str, int, Mapping[str, float]]] = []
    for processes in PROCESSES:
        side = evaluation[f"ours {processes}"]
        spent.append((f"{processes} at work", side["rows"], side["stages"]))
    console.print(_evaluation_table(evaluation), moment(evaluation))
    console.print(stage_table("Microseconds a row of evidence, by stage", spent))
    console.print(
        f"A row holds {evaluation['records_a_row']} records,"
        f" {evaluation['bytes_a_row'] / 1000:.1f} kB of JSON. The loop was measured on the first"
        f" {evaluation['part']:,} rows."
    )


def _order_table(order: Mapping[str, Any]) -> Table:
    title = f"Rank {order['rows']:,} verdicts in {order['challenges']:,} challenges, in memory"
    made = table(title, "who", "s", "rows/s", "times ours", "CPU s", "peak MB")
    ours = order["polars"]["seconds"]

    def add(name: str, seconds: float, cpu: float | None, memory: int | None) -> None:
        made.add_row(
            name,
            f"{seconds:.2f}",
            f"{order['rows'] / seconds:,.0f}",
            f"{seconds / ours:.1f}",
            "" if cpu is None else f"{cpu:.1f}",
            "" if memory is None else f"{memory / 1e6:,.0f}",
        )

    polars, pandas = order["polars"], order["pandas"]
    add(RANKERS["polars"], ours, polars["seconds_cpu"], polars["peak_memory"])
    for work_mem, one in order["postgres"]["runs"].items():
        counts = " (counts)" if work_mem == order["postgres"]["counts"] else ""
        name = f"PostgreSQL, row_number(), work_mem {work_mem}{counts}"
        add(name, one["seconds"], one["seconds_cpu"], one["peak_memory"])
    add(RANKERS["pandas"], pandas["seconds"], pandas["seconds_cpu"], pandas["peak_memory"])
    numbering = pandas["gift"]["seconds_numbering"]
    add(f"… wallets numbered before, in {numbering:.0f} s", pandas["gift"]["seconds"], None, None)
    return made


def _rankings_table(run: Mapping[str, Any]) -> Table:
    rows = run["rows"]
    title = f"From table to table: {rows:,} verdicts in {run['challenges']:,} challenges"
    made = _sides(title, "rows")
    passes = run["ours"]["passes"]
    first, closing = passes["first"], passes["closing"]
    mirror = closing["stages"].get("mirror to verdicts", 0.0)
    loop = run["challenge"]["seconds"]

    def add(name: str, one: Mapping[str, Any], memory: int | None) -> None:
        _add_side(made, name, rows, one, loop / one["seconds"], memory)

    add("read, rank, write rankings (counts)", first, run["ours"]["peak_memory"])
    both = {"seconds": first["seconds"] + mirror}
    add("… and the mirror to verdicts", both, None)
    full = {name: first[name] + closing[name] for name in ("seconds", "cpu_ours", "cpu_postgres")}
    add("… and all of closing", full, None)
    for commit in COMMITS:
        side = run[commit]
        add(f"loop over challenges, {_COMMITTED[commit]}", side, side["peak_memory"])
    return made


def _passes_table(run: Mapping[str, Any]) -> Table:
    passes = run["ours"]["passes"]
    spent = [(_PASSES[name], run["rows"], one["stages"]) for name, one in passes.items()]
    made = stage_table("Microseconds a verdict, by stage, of each ranking", spent)
    made.add_section()
    made.add_row("s", *(f"{one['seconds']:.2f}" for one in passes.values()))
    made.add_row("rankings written", *(f"{one['written']:,}" for one in passes.values()))
    made.add_row("verdicts mirrored", *(f"{one['mirrored']:,}" for one in passes.values()))
    return made


def _standings_table(standings: Mapping[str, Any]) -> Table:
    title = (
        f"Season standings: {standings['matches']:,} matches, {standings['wallets']:,} wallets,"
        f" {standings['ours']['passes']['first']['results']:,} results"
    )
    made = _sides(title, "matches")
    ours = standings["ours"]
    speed = matches_per_second(standings, "every 1")
    for name, one in ours["passes"].items():
        seconds = one["seconds"]
        label = {"first": "steps.standings.compute (counts)", "unchanged": "… again, unchanged"}
        memory = ours["peak_memory"] if name == "first" else None
        matches = standings["matches"]
        _add_side(made, label[name], matches, one, matches / seconds / speed, memory)
    for every in EVERY:
        side = standings[f"every {every}"]
        ratio = matches_per_second(standings, f"every {every}") / speed
        name = f"loop of upserts, a commit every {every:,}" if every > 1 else "loop of upserts"
        _add_side(made, name, standings["part"], side, ratio, side["peak_memory"])
    return made


def _evaluation_table(evaluation: Mapping[str, Any]) -> Table:
    title = (
        f"Evaluation: {evaluation['rows']:,} rows of evidence in {evaluation['challenges']:,}"
        " challenges"
    )
    made = _sides(title, "rows")
    speed = rows_per_second(evaluation["loop"])
    for processes in PROCESSES:
        side = evaluation[f"ours {processes}"]
        name = f"steps.judge.judge, {processes} process{'es' if processes > 1 else ''}"
        ratio = rows_per_second(side) / speed
        _add_side(made, name, side["rows"], side, ratio, side["memory_ours"])
    loop = evaluation["loop"]
    name = "loop: select, evaluate, upsert"
    _add_side(made, name, loop["rows"], loop, 1.0, loop["peak_memory"])
    return made


def _sides(title: str, rows: str) -> Table:
    columns = ("who", "s", f"{rows}/s", "times the loop", "CPU µs each", "PostgreSQL's", "peak MB")
    return table(title, *columns)


def _add_side(
    made: Table, name: str, rows: int, one: Mapping[str, Any], ratio: float, memory: int | None
) -> None:
    made.add_row(
        name,
        f"{one['seconds']:.2f}",
        f"{rows / one['seconds']:,.0f}",
        f"{ratio:.1f}",
        *(
            f"{one[cpu] / rows * 1e6:.1f}" if cpu in one else ""
            for cpu in ("cpu_ours", "cpu_postgres")
        ),
        "" if memory is None else f"{memory / 1e6:,.0f}",
    )

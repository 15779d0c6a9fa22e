"""What `make bench-rank` measured, as tables for a person; and each bar's verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.judgement.parts import COMMITS, EVERY, PROCESSES
from benchmarks.tables import Bar, bars_table, show_surroundings, stage_table, table

ORDER_AIM_S = 5.0
ORDER_BAR = 2.0
RANKINGS_BAR = 3.0
STANDINGS_BAR = 20.0
EVALUATION_BAR = 3.0
EVALUATION_AIM = 10.0

_COMMITTED = {"challenge": "a commit a challenge", "statement": "a commit a statement"}
_PASSES = {
    "first": "first (counts)",
    "unchanged": "again",
    "closing": "closing",
    "settled": "again, closed",
}


def bars(results: Mapping[str, Any]) -> list[Bar]:
    """The verdicts on the parts that were measured."""
    found: list[Bar] = []
    if order := results.get("order"):
        seconds = order["polars"]["seconds"]
        found.append(
            Bar(
                f"rank {order['rows']:,} verdicts in {order['challenges']:,} challenges",
                f"at most {ORDER_AIM_S:g} s",
                f"{seconds:.2f} s",
                seconds <= ORDER_AIM_S,
                aim=True,
            )
        )
        for name in ("postgres", "pandas"):
            ratio = order[name]["seconds"] / seconds
            found.append(_ratio(f"the same, against {_RANKERS[name]}", ORDER_BAR, ratio))
    if rankings := results.get("rankings"):
        for run in rankings["runs"]:
            name = f"table to table, {run['challenges']:,} challenges, against the loop"
            ratio = run["challenge"]["seconds"] / run["ours"]["seconds"]
            found.append(_ratio(name, RANKINGS_BAR, ratio))
    if standings := results.get("standings"):
        ratio = _matches_per_second(standings, "ours") / _matches_per_second(standings, "every 1")
        found.append(_ratio("season standings, against the loop", STANDINGS_BAR, ratio))
    if evaluation := results.get("evaluation"):
        ratio = max(
            _rows_per_second(evaluation[f"ours {processes}"]) for processes in PROCESSES
        ) / _rows_per_second(evaluation["loop"])
        name = "evaluation table to table, against the loop"
        found.append(_ratio(name, EVALUATION_BAR, ratio))
        found.append(_ratio(name, EVALUATION_AIM, ratio, aim=True))
    return found


def _ratio(name: str, wanted: float, ratio: float, *, aim: bool = False) -> Bar:
    return Bar(name, f"at least {wanted:g} times", f"{ratio:.1f} times", ratio >= wanted, aim=aim)


def _rows_per_second(side: Mapping[str, Any]) -> float:
    return side["rows"] / side["seconds"]


def _matches_per_second(standings: Mapping[str, Any], side: str) -> float:
    matches = standings["matches"] if side == "ours" else standings["part"]
    return matches / standings[side]["seconds"]


def show(console: Console, results: Mapping[str, Any]) -> None:
    """Print everything that was measured."""
    show_surroundings(console, results)
    if order := results.get("order"):
        console.print(_order_table(order))
        console.print(
            f"In {order['by_wallet']:,} of {order['rows']:,} rows score and time are another's"
            " too: only the wallet decides. Nothing is read or sent; ours with all its refusals."
        )
    if rankings := results.get("rankings"):
        for run in rankings["runs"]:
            console.print(_rankings_table(run), _passes_table(run))
    if standings := results.get("standings"):
        console.print(_standings_table(standings))
        spent = [
            (name, standings["matches"], one["stages"])
            for name, one in standings["ours"]["passes"].items()
        ]
        console.print(stage_table("Microseconds a match, by stage", spent))
        console.print(
            f"The loop was measured on the first {standings['part']:,} matches; its rest would"
            " take as long again for each as many."
        )
    if evaluation := results.get("evaluation"):
        console.print(_evaluation_table(evaluation))
        sides = {f"{processes} at work": f"ours {processes}" for processes in PROCESSES}
        spent = [
            (name, evaluation[side]["rows"], evaluation[side]["stages"])
            for name, side in sides.items()
        ]
        console.print(stage_table("Microseconds a row of evidence, by stage", spent))
        console.print(
            f"A row holds {evaluation['records_a_row']} records,"
            f" {evaluation['bytes_a_row'] / 1000:.1f} kB of JSON. The loop was measured on the"
            f" first {evaluation['part']:,} rows."
        )
    console.print(bars_table(bars(results)))


_RANKERS = {
    "polars": "rules.ranking.rank (Polars)",
    "postgres": "PostgreSQL, row_number()",
    "pandas": "pandas, sort_values and cumcount",
}


def _order_table(order: Mapping[str, Any]) -> Table:
    title = f"Rank {order['rows']:,} verdicts in {order['challenges']:,} challenges, in memory"
    made = table(title, "who", "s", "rows/s", "ratio", "CPU s", "peak MB")
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
    add(_RANKERS["polars"], ours, polars["seconds_cpu"], polars["peak_memory"])
    for work_mem, one in order["postgres"]["runs"].items():
        counts = " (counts)" if work_mem == order["postgres"]["counts"] else ""
        name = f"PostgreSQL, row_number(), work_mem {work_mem}{counts}"
        add(name, one["seconds"], one["seconds_cpu"], one["peak_memory"])
    add(_RANKERS["pandas"], pandas["seconds"], pandas["seconds_cpu"], pandas["peak_memory"])
    numbering = pandas["gift"]["seconds_numbering"]
    add(f"… wallets numbered before, in {numbering:.0f} s", pandas["gift"]["seconds"], None, None)
    return made


def _rankings_table(run: Mapping[str, Any]) -> Table:
    rows = run["rows"]
    title = f"From table to table: {rows:,} verdicts in {run['challenges']:,} challenges"
    made = _sides(title, "row")
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
    made = _sides(title, "match")
    ours = standings["ours"]
    speed = _matches_per_second(standings, "every 1")
    for name, one in ours["passes"].items():
        seconds = one["seconds"]
        label = {"first": "steps.standings.compute (counts)", "unchanged": "… again, unchanged"}
        memory = ours["peak_memory"] if name == "first" else None
        matches = standings["matches"]
        _add_side(made, label[name], matches, one, matches / seconds / speed, memory)
    for every in EVERY:
        side = standings[f"every {every}"]
        ratio = _matches_per_second(standings, f"every {every}") / speed
        name = f"loop of upserts, a commit every {every:,}" if every > 1 else "loop of upserts"
        _add_side(made, name, standings["part"], side, ratio, side["peak_memory"])
    return made


def _evaluation_table(evaluation: Mapping[str, Any]) -> Table:
    title = (
        f"Evaluation: {evaluation['rows']:,} rows of evidence in {evaluation['challenges']:,}"
        " challenges"
    )
    made = _sides(title, "row")
    speed = _rows_per_second(evaluation["loop"])
    for processes in PROCESSES:
        side = evaluation[f"ours {processes}"]
        name = f"steps.judge.judge, {processes} process{'es' if processes > 1 else ''}"
        ratio = _rows_per_second(side) / speed
        _add_side(made, name, side["rows"], side, ratio, side["memory_ours"])
    loop = evaluation["loop"]
    name = "loop: select, evaluate, upsert"
    _add_side(made, name, loop["rows"], loop, 1.0, loop["peak_memory"])
    return made


def _sides(title: str, row: str) -> Table:
    """``ratio``: how many times the loop's speed."""
    columns = ("who", "s", f"{row}s/s".replace("matchs", "matches"), "ratio")
    return table(title, *columns, f"CPU µs/{row}", "PostgreSQL's", "peak MB")


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

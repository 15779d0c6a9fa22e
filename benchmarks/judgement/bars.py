"""What the issue asks of judging, ranking and standings, and whether it was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.judgement.parts import PROCESSES
from benchmarks.tables import Bar

ORDER_AIM_S = 5.0
ORDER_BAR = 2.0
RANKINGS_BAR = 3.0
STANDINGS_BAR = 20.0
EVALUATION_BAR = 3.0
EVALUATION_AIM = 10.0

RANKERS = {
    "polars": "rules.ranking.rank (Polars)",
    "postgres": "PostgreSQL, row_number()",
    "pandas": "pandas, sort_values and cumcount",
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
            found.append(_ratio(f"the same, against {RANKERS[name]}", ORDER_BAR, ratio))
    if rankings := results.get("rankings"):
        for run in rankings["runs"]:
            name = f"table to table, {run['challenges']:,} challenges, against the loop"
            ratio = run["challenge"]["seconds"] / run["ours"]["seconds"]
            found.append(_ratio(name, RANKINGS_BAR, ratio))
    if standings := results.get("standings"):
        ratio = matches_per_second(standings, "ours") / matches_per_second(standings, "every 1")
        found.append(_ratio("season standings, against the loop", STANDINGS_BAR, ratio))
    if evaluation := results.get("evaluation"):
        ratio = max(
            rows_per_second(evaluation[f"ours {processes}"]) for processes in PROCESSES
        ) / rows_per_second(evaluation["loop"])
        name = "evaluation table to table, against the loop"
        found.append(_ratio(name, EVALUATION_BAR, ratio))
        found.append(_ratio(name, EVALUATION_AIM, ratio, aim=True))
    return found


def _ratio(name: str, wanted: float, ratio: float, *, aim: bool = False) -> Bar:
    return Bar(name, f"at least {wanted:g} times", f"{ratio:.1f} times", ratio >= wanted, aim=aim)


def rows_per_second(side: Mapping[str, Any]) -> float:
    return side["rows"] / side["seconds"]


def matches_per_second(standings: Mapping[str, Any], side: str) -> float:
    matches = standings["matches"] if side == "ours" else standings["part"]
    return matches / standings[side]["seconds"]

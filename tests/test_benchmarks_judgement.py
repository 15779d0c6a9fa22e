"""`make bench-rank` runs, with tiny sizes: all sides do the same work and come to the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from benchmarks.common import ChildFailed, Databases
from benchmarks.judgement import order_check, order_rows, parts, season_rows
from benchmarks.judgement.bars import bars
from benchmarks.judgement.report import show
from benchmarks.rank import main
from lightchallenge_dagster.devnet.processes import Postgres

SURROUNDINGS: Mapping[str, Any] = {
    "machine": {
        "cores": 2,
        "cpu": "",
        "memory_gb": 1,
        "python": "3.11",
        "load_before": [0],
        "load_after": [0],
    },
    "settings": {"name": "throwaway"},
}


@pytest.fixture
def databases(postgres: Postgres, migrated_template: str) -> Databases:
    return Databases(postgres, migrated_template)


def silent(share: float, label: str) -> None:
    assert 0 <= share <= 1


def shown(**results: Any) -> str:
    console = Console(file=StringIO(), width=200)
    show(console, {**SURROUNDINGS, **results})
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_verdicts_are_ranked_alike_by_polars_postgresql_and_pandas(
    databases: Databases, tmp_path: Path
) -> None:
    found = parts.order(databases, tmp_path, 2_000, 20, 1, silent, times=2)

    assert found["by_wallet"] > 10
    assert found["polars"]["check"]["rows"] == 2_000
    assert found["polars"]["check"] == found["postgres"]["check"] == found["pandas"]["check"]
    assert [bar.name for bar in bars({"order": found})] == [
        "rank 2,000 verdicts in 20 challenges",
        "the same, against PostgreSQL, row_number()",
        "the same, against pandas, sort_values and cumcount",
    ]
    assert "(counts)" in shown(order=found)


def test_two_rows_that_change_places_are_noticed() -> None:
    rows = order_rows.rows(1, 100, 2).with_columns(winner=True).with_row_index("rank")
    swapped = rows.with_columns(rank=rows["rank"].scatter([3, 4], [4, 3]))

    assert order_check.checksum(rows) != order_check.checksum(swapped)


def test_rankings_are_written_from_table_to_table_beside_the_loop(databases: Databases) -> None:
    found = parts.rankings(databases, 300, (30,), 1, silent)

    for run in found["runs"]:
        passes = run["ours"]["passes"]
        assert [passes[name]["written"] for name in passes] == [300, 0, 300, 0]
        assert passes["closing"]["mirrored"] == 300
        assert passes["settled"]["verified"] == run["challenges"]
        stages = passes["first"]["stages"]
        for stage in ("read: what is open", "read: candidates", "rank", "write"):
            assert stages[stage] > 0, stage
        assert passes["closing"]["stages"]["mirror to verdicts"] > 0
        assert run["ours"]["winners"][0] >= run["challenges"]
        assert {run[commit]["rows"] for commit in parts.COMMITS} == {300}
    assert len(bars({"rankings": found})) == 1
    assert "the mirror to verdicts" in shown(rankings=found)


def test_standings_are_those_of_the_loop(databases: Databases) -> None:
    found = parts.standings(databases, 500, 60, 200, 1, silent)

    first, again = (found["ours"]["passes"][name] for name in ("first", "unchanged"))
    assert first["inserted"] == first["wallets"] == 60
    assert first["results"] > 1_000
    assert (again["inserted"], again["changed"]) == (0, 0)
    assert found["every 1"]["upserts"] == found["every 1000"]["upserts"] > 400
    assert [bar.name for bar in bars({"standings": found})] == [
        "season standings, against the loop"
    ]
    assert "first 200 matches" in shown(standings=found)


def test_the_first_matches_of_a_season_do_not_depend_on_how_many_there_are() -> None:
    few, many = (season_rows.season(1, count, 100) for count in (50, 150))

    assert many.matches.head(50).equals(few.matches)
    assert many.rosters.sort("team_id", "wallet").equals(few.rosters.sort("team_id", "wallet"))


def test_evidence_is_judged_alike_row_by_row_and_by_several_processes(
    databases: Databases,
) -> None:
    found = parts.evaluation(databases, 60, 24, 40, 1, silent)

    alone, together = (found[f"ours {processes}"] for processes in parts.PROCESSES)
    assert alone["rows"] == together["rows"] == 60
    assert 0 < alone["passed"] < 60
    assert alone["stages"]["parse and evaluate"] > 0
    assert found["loop"]["verdicts"][0] == 40
    assert [bar.aim for bar in bars({"evaluation": found})] == [False, True]
    assert "20 records" in shown(evaluation=found)


def test_sides_that_come_to_something_else_fail_the_run() -> None:
    with pytest.raises(ChildFailed, match="do not come to the same"):
        parts._refuse_different({"ours": 1, "loop": 2})


def test_an_aim_that_is_not_reached_is_no_missed_bar() -> None:
    evaluation = {
        "ours 1": {"rows": 4, "seconds": 1},
        "ours 2": {"rows": 5, "seconds": 1},
        "loop": {"rows": 1, "seconds": 1},
    }

    bar, aim = bars({"evaluation": evaluation})

    assert (bar.met, bar.aim, bar.found) == (True, False, "5.0 times")
    assert (aim.met, aim.aim) == (False, True)


def test_the_command_measures_writes_figures_and_says_which_bars_are_missed(
    tmp_path: Path,
) -> None:
    output = tmp_path / "rank.json"
    sizes = ("--matches", "300", "--wallets", "50", "--loop-matches", "20")

    said = CliRunner().invoke(
        main, ["standings", *sizes, "--settings", "throwaway", "--output", str(output)]
    )

    assert said.exit_code == 0, said.output
    assert "season standings, against the loop" in said.output
    figures = json.loads(output.read_text())
    assert figures["standings"]["part"] == 20
    assert figures["settings"]["name"] == "throwaway"
    assert len(figures["bars"]) == 1


def test_the_command_explains_itself() -> None:
    said = CliRunner().invoke(main, ["--help"])

    assert said.exit_code == 0
    assert "Examples" in said.output
    assert all(part in said.output for part in ("order", "rankings", "standings", "evaluation"))

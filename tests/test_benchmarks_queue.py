"""`make bench-queue` runs, with tiny sizes: every job is claimed, once, by one of four workers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.common import ChildFailed, Databases
from benchmarks.queue import gate, parts
from benchmarks.queue.__main__ import main
from benchmarks.queue.report import bars
from lightchallenge_dagster.devnet.processes import Postgres


@pytest.fixture
def databases(postgres: Postgres, migrated_template: str) -> Databases:
    return Databases(postgres, migrated_template)


def silent(share: float, label: str) -> None:
    assert 0 <= share <= 1


def test_a_backlog_is_claimed_to_its_end_in_every_way(databases: Databases) -> None:
    found = parts.drain(databases, [60], 60, silent)

    sides = [(run["batch"], run["complete"]) for run in found["runs"]]
    assert sides == [(1, False), (1, True), (20, False), (20, True)]
    assert [run["claimed"] for run in found["runs"]] == [60] * 4
    assert all(run["seconds"] > 0 and sum(run["shares"]) == 60 for run in found["runs"])
    assert [bar.aim for bar in bars({"drain": found})] == [True]


def test_jobs_that_arrive_are_claimed_past_those_that_wait(databases: Databases) -> None:
    found = parts.arrivals(databases, [15], 20, 1, silent)

    (run,) = found["runs"]
    assert run["claimed"] == run["reached"] == run["arrived"] == 20
    assert 0 < run["wait_ms"]["p50"] <= run["wait_ms"]["p95"] <= run["wait_ms"]["max"]
    assert [bar.aim for bar in bars({"arrivals": found})] == [True]


def test_a_process_that_does_not_come_up_fails_the_run(databases: Databases) -> None:
    with (
        databases.fresh() as url,
        pytest.raises(ChildFailed, match="not all of 2"),
        gate.closed(url, 2, 0.1),
    ):
        pass


def test_the_command_measures_writes_figures_and_says_what_is_aimed_at(tmp_path: Path) -> None:
    output = tmp_path / "queue.json"
    sizes = ("--waiting", "0", "--rate", "10", "--seconds", "1")

    said = CliRunner().invoke(
        main, ["arrivals", *sizes, "--settings", "throwaway", "--output", str(output)]
    )

    assert said.exit_code == 0, said.output
    assert "From queued to claimed" in said.output
    figures = json.loads(output.read_text())
    assert figures["arrivals"]["runs"][0]["arrived"] == 10
    assert "drain" not in figures
    assert len(figures["bars"]) == 1


def test_the_command_explains_itself() -> None:
    said = CliRunner().invoke(main, ["--help"])

    assert said.exit_code == 0
    assert "Examples" in said.output
    assert all(part in said.output for part in ("drain", "arrivals"))

"""The benchmarks run, with tiny sizes: what they measure is real work, done completely."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks import events, parts
from benchmarks.common import Databases
from benchmarks.front import Stretch
from benchmarks.index import main
from benchmarks.report import bars
from lightchallenge_dagster.devnet.processes import Postgres
from lightchallenge_dagster.devnet.supervisor import Supervisor


@pytest.fixture
def databases(postgres: Postgres, migrated_template: str) -> Databases:
    return Databases(postgres, migrated_template)


def silent(share: float, label: str) -> None:
    assert 0 <= share <= 1


def test_the_made_up_chain_speaks_of_every_event_and_fits_together() -> None:
    chain = events.chain(1, 6000, 5)

    assert events.missing_events(chain) == set()
    assert events.chain(1, 6000, 5).headers == chain.headers
    assert chain.events == sum(block.count(b'"logIndex"') for block in chain.logs.values())


def test_raw_bytes_are_measured_with_and_without_projections(databases: Databases) -> None:
    (run,) = parts.raw(databases, 600, (6,), 1, silent)["runs"]

    alone, full = run["logs only"], run["with projections"]
    assert alone["events"] == full["events"] >= 600
    assert not any(alone["rows"].values())
    assert full["rows"]["public.claims"] > 0
    for stage in ("RPC client", "parse logs", "parse headers", "check", "decode", "copy logs"):
        assert alone["stages"][stage] > 0, stage
    assert full["stages"]["→ claims"] > 0
    for one in (alone, full):
        assert min(one["stages"].values()) >= 0


def test_both_sides_index_the_same_events_of_one_node(
    supervisor: Supervisor, databases: Databases, tmp_path: Path
) -> None:
    first = parts.side_by_side(supervisor, databases, 1000, 60, 1, silent, tmp_path)

    assert first["chain"]["events"] >= 1000
    assert first["chain"]["blocks"] > 60
    assert not first["chain"]["cached"]
    assert {first[side]["events"] for side in parts.SIDES} == {first["chain"]["events"]}
    assert all(count > 0 for count in first["ours"]["rows"].values())
    assert first["ours"]["rows"] == first["plain"]["rows"] == first["batched"]["rows"]
    assert first["lean"]["rows"].items() <= first["ours"]["rows"].items()
    assert all(first[side]["peak_memory"] > 10**7 for side in parts.SIDES)


def test_empty_blocks_pass_and_the_few_logs_among_them_arrive(
    supervisor: Supervisor, databases: Databases, tmp_path: Path
) -> None:
    found = parts.empty_blocks(supervisor, databases, (3000, 9000), 1, silent, tmp_path, 1000)

    few, many = found["runs"]
    assert few["blocks"] >= 3000
    assert many["blocks"] >= 9000
    assert many["logs"] > few["logs"] > 0
    names = [bar.name for bar in bars({"empty_blocks": found})]
    assert names == ["9,000 empty blocks in one run", "memory at 9,000 blocks to that at 3,000"]


@pytest.mark.parametrize(("empty", "real"), [(1000, 7), (10, 3), (1_000_000, 200)])
def test_a_stretched_chain_has_each_of_the_nodes_blocks_once(empty: int, real: int) -> None:
    stretch = Stretch(empty, real)

    places = [stretch.place(number) for number in range(1, real + 1)]

    assert len(set(places)) == real
    assert max(places) <= stretch.head
    assert [stretch.real_at(place) for place in places] == list(range(1, real + 1))
    assert stretch.real_at(0) is None
    assert stretch.real_within(0, stretch.head) == (1, real)
    first, last = places[1] + 1, places[-1] - 1
    assert stretch.real_within(first, last) == (3, real - 1)


def test_a_missed_bar_is_said() -> None:
    slow: Mapping[str, Any] = {
        "side_by_side": {"ours": {"events_per_second": 99}, "plain": {"events_per_second": 10}}
    }

    (bar,) = bars(slow)

    assert (bar.found, bar.met) == ("9.9 times", False)


def test_the_command_explains_itself() -> None:
    said = CliRunner().invoke(main, ["--help"])

    assert said.exit_code == 0
    assert "Examples" in said.output
    assert "side-by-side" in said.output

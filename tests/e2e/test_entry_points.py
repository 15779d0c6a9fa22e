"""Both of Dagster's front doors open on this project: `dagster` by workspace.yaml, `dg` by
pyproject.toml."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightchallenge_dagster.devnet.processes import Postgres

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def storage(postgres: Postgres) -> Iterator[str]:
    yield postgres.create("entry_points").replace("postgresql://", "postgresql+psycopg2://")
    postgres.drop("entry_points")


@pytest.mark.parametrize(
    "command",
    [
        ["dagster", "definitions", "validate", "-w", "workspace.yaml"],
        ["dg", "check", "defs"],
    ],
    ids=["dagster", "dg"],
)
def test_the_definitions_load_through(command: list[str], storage: str, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name(command[0])
    done = subprocess.run(
        [program, *command[1:]],
        cwd=ROOT,
        env={
            "PATH": f"{program.parent}:{os.defpath}",
            "HOME": str(tmp_path),
            "DAGSTER_POSTGRES_URL": storage,
        },
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

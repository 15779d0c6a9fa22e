"""The service files name programs, folders and settings that exist."""

from __future__ import annotations

import configparser
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "deploy").glob("*.service"))


def test_there_is_a_unit_for_the_daemon_and_one_for_the_ui() -> None:
    assert [unit.stem for unit in UNITS] == ["lightchallenge-daemon", "lightchallenge-webserver"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_starts_a_program_of_the_locked_installation(unit: Path) -> None:
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string(unit.read_text())
    service = parsed["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    assert Path(sys.executable).with_name(Path(program).name).is_file()
    assert (ROOT / Path(arguments[-1]).name).is_file(), "the workspace"
    assert service["KillSignal"] == "SIGINT"

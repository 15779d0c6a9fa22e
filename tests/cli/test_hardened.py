"""Arguments and rows that nobody meant: one line or a number, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine

from lightchallenge_dagster.cli import cli
from lightchallenge_dagster.settings import Settings, variables
from tests import builders as build
from tests.builders import run, wallet

A = wallet(1)


@pytest.fixture
def deployment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str, database: Engine
) -> Engine:
    for name in (name for field in Settings.model_fields for name in variables(field)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_url)
    return database


@pytest.mark.parametrize(
    ("score", "shown"),
    [
        ("1e300", "1e+300"),
        ("-1e300", "-1e+300"),
        ("123" + "0" * 400, "1.23e+402"),
        ("1e-300", "1e-300"),
        ("1e18", "1,000,000,000,000,000,000"),
        ("9" * 149, "99,999,999,"),
    ],
)
def test_explain_shows_any_score_of_a_verdict(deployment: Engine, score: str, shown: str) -> None:
    build.challenge(deployment, 8, {"rule": {"challengeType": "run", "period": {}}})
    build.stake(deployment, 8, A)
    build.evidence(deployment, 8, A, [run(12)])
    build.verdict(deployment, 8, A, score=Decimal(score))
    for arguments in (["8"], ["8", A]):
        result = CliRunner().invoke(cli, ["explain", *arguments], env={"COLUMNS": "400"})
        assert result.exit_code == 0, result.output
        assert shown in "".join(result.output.split())


@pytest.mark.parametrize("arguments", [[b"4", b"0x\xff"], [b"\xff"], [b"4", b"\xed\xa0\x80"]])
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_an_argument_that_is_no_utf_8_is_a_one_line_usage_error(
    arguments: list[bytes], locale: str, database_url: str, tmp_path: Path
) -> None:
    program = [str(Path(sys.executable).parent / "lightchallenge"), "explain"]
    result = subprocess.run(
        [*map(os.fsencode, program), *arguments],
        capture_output=True,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "LC_ALL": locale, "DATABASE_URL": database_url},
        check=False,
    )
    errors = result.stderr.decode("utf-8")
    assert result.returncode == 2, errors
    assert result.stdout == b""
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("Error: ")
    assert errors.splitlines()[-1].endswith("is not UTF-8 text.")


# ── rank ────────────────────────────────────────────────────────────────────────────────────


def refusal(**fields: Any) -> str:
    row = {"challenge_id": 7, "subject": A, "score": 1, "created_at": "2026-03-02T08:00:00Z"}
    result = CliRunner().invoke(cli, ["rank"], input=json.dumps(row | fields) + "\n")
    assert result.exit_code == 1
    return result.stderr


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**30])
def test_a_challenge_id_beyond_bigint_says_that_it_is_out_of_range(value: int) -> None:
    assert f"challenge_id {value} is out of range" in refusal(challenge_id=value)


def test_numbers_are_quoted_as_numbers() -> None:
    assert "challenge_id 7.5 is not a whole number" in refusal(challenge_id=7.5)
    assert 'challenge_id "7" is not a whole number' in refusal(challenge_id="7")

"""``lightchallenge run``: what a job found as tables, what failed as one line."""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from dagster import DagsterInstance
from dagster_shared.error import SerializableErrorInfo
from sqlalchemy import Engine

from lightchallenge_dagster.cli import cli
from lightchallenge_dagster.cli.run_result import reason
from lightchallenge_dagster.settings import Settings, variables
from lightchallenge_dagster.steps.ops import terminal_jobs
from tests import builders as build

ADDRESSES = {
    "CHALLENGEPAY_ADDRESS": "0x" + "12" * 20,
    "TREASURY_ADDRESS": "0x" + "13" * 20,
    "AIVM_INFERENCE_V2_ADDRESS": "0x" + "14" * 20,
    "AIVM_TASK_REGISTRY_ADDRESS": "0x" + "15" * 20,
}


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting and no ``.env`` of whoever runs the tests."""
    for name in (name for field in Settings.model_fields for name in variables(field)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch, database_url: str, database: Engine) -> Engine:
    """A database with a job whose worker is gone, and no node."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    long_ago = datetime.now(UTC) - timedelta(hours=3)
    build.insert(
        database,
        "public.aivm_jobs",
        challenge_id=7,
        status="processing",
        attempts=1,
        last_error="cut off\x1b[2J by the node",
        created_at=long_ago,
        updated_at=long_ago,
    )
    return database


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["run", *arguments])


def job_status(engine: Engine) -> str:
    return build.rows(engine, "select status from public.aivm_jobs")[0][0]


def test_without_a_job_all_are_listed_with_what_they_take() -> None:
    result = run()
    assert result.exit_code == 0
    assert "settle_winners  (dry_run)" in result.stdout
    assert "reset_stuck_jobs  (challenge_ids, dry_run, minutes)" in result.stdout
    assert "Record the winners' bindings and submit their proofs." in result.stdout
    assert "__ASSET_JOB" not in result.stdout


def test_a_dry_run_shows_a_table_and_changes_nothing(deployment: Engine) -> None:
    result = run("reset_stuck_jobs", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "dry_run: true" in result.stdout
    (row,) = [line for line in result.stdout.splitlines() if "processing" in line]
    assert row.split()[0] == "7"
    assert "\x1b" not in result.output
    assert job_status(deployment) == "processing"


def test_a_run_in_earnest_does_what_it_shows(deployment: Engine) -> None:
    assert run("reset_stuck_jobs", "minutes=600", "--no-dry-run").exit_code == 0
    assert job_status(deployment) == "processing", "it has not hung for so long"
    assert run("reset_stuck_jobs", "challenge_ids=[8]", "--no-dry-run").exit_code == 0
    assert job_status(deployment) == "processing", "another challenge's was meant"
    assert run("reset_stuck_jobs", "challenge_ids=[7]", "--no-dry-run").exit_code == 0
    assert job_status(deployment) == "queued"


@pytest.mark.usefixtures("deployment")
def test_every_job_that_needs_no_node_shows_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inbox").mkdir()
    monkeypatch.setenv("EVIDENCE_INBOX", str(tmp_path / "inbox"))
    for job in (
        "compute_reputation",
        "prune_run_history",
        "take_in_uploads",
        "collect_evidence",
    ):
        result = run(job)
        assert result.exit_code == 0, f"{job}: {result.output}"
        assert result.stdout
        assert result.stderr.splitlines()[-1].endswith(": done")


@pytest.mark.parametrize(
    ("job", "variables", "said"),
    [
        ("reconcile", {}, "LCAI_RPC is not set; see docs/configuration.md"),
        ("follow_chain", {"LCAI_RPC": "http://127.0.0.1:1/secret-key"}, "cannot be reached"),
        (
            "cancel_terminal_jobs",
            {"DATABASE_URL": "postgresql://me:hunter2@127.0.0.1:1/x"},
            "the database refused: ",
        ),
        ("reconcile", {"LCAI_CHAIN_ID": "abc"}, "LCAI_CHAIN_ID"),
    ],
)
@pytest.mark.usefixtures("deployment")
def test_a_failure_is_one_line_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, job: str, variables: dict[str, str], said: str
) -> None:
    for name, value in (ADDRESSES | variables).items():
        monkeypatch.setenv(name, value)
    result = run(job)
    assert result.exit_code == 1
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert said in error
    for word in ("Traceback", "secret-key", "hunter2"):
        assert word not in result.output


def test_our_own_advice_is_shown_and_not_what_it_was_made_from() -> None:
    began = SerializableErrorInfo("ValueError: no bytes", [], "ValueError")
    ours = SerializableErrorInfo(
        "lightchallenge_dagster.chain.contracts.NotAContract: 0x12 is none;\n check the address\n",
        [],
        "NotAContract",
        cause=began,
    )
    around = SerializableErrorInfo("dagster.StepError: it failed", [], "StepError", cause=ours)
    assert reason(around) == "0x12 is none; check the address"
    assert reason(began) == "ValueError: no bytes"


@pytest.mark.usefixtures("deployment")
def test_an_interrupted_run_says_so_and_ends_as_shells_expect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(_engine: Engine) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)

    monkeypatch.setattr(terminal_jobs, "cancel_terminal_jobs", interrupted)
    result = run("cancel_terminal_jobs")
    assert result.exit_code == 130
    assert "Error: interrupted." in result.stderr


@pytest.mark.usefixtures("deployment")
@pytest.mark.parametrize("home", ["/nowhere/at/all", "relative", "/dev/null"])
def test_a_dagster_home_that_cannot_be_used_is_one_line(
    monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", home)
    result = run("cancel_terminal_jobs")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: Dagster's own storage cannot be used: ")
    assert f"check DAGSTER_HOME ({home})" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.usefixtures("deployment")
def test_with_a_dagster_home_the_run_is_kept_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    result = run("cancel_terminal_jobs")
    assert result.exit_code == 0, result.output
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        (kept,) = instance.get_runs()
    assert (kept.job_name, kept.is_success) == ("cancel_terminal_jobs", True)
    assert kept.run_id in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no_such_job\x1b[2J"], "there is no job 'no_such_job·[2J'"),
        (["settle_winners", "dry"], "'dry' is not NAME=VALUE"),
        (["settle_winners", "=1"], "'=1' is not NAME=VALUE"),
        (["settle_winners", "drirun=true"], "has no field 'drirun'; it has dry_run"),
        (["take_in_uploads", "--dry-run"], "has no field 'dry_run'; it has no field at all"),
        (["run_aivm_job"], "run_aivm_job needs challenge_id=VALUE"),
        (["run_aivm_job", "challenge_id=seven"], "challenge_id: Input should be a valid integer"),
        (["run_aivm_job", "challenge_id=0"], "challenge_id: Input should be greater than or"),
        (["run_aivm_job", 'challenge_id={"env":"HOME"}'], "challenge_id: Input should be a valid"),
        (["reset_stuck_jobs", "challenge_ids=" + "[" * 50_000], "challenge_ids: Input should"),
        (["reconcile", "repair=perhaps"], "repair: Input should be a valid boolean"),
        (["reconcile", "dry_run=true", "--no-dry-run"], "dry_run is given twice"),
        (["judge_and_rank"], "works on partitions"),
    ],
)
def test_what_a_job_does_not_take_is_a_usage_error(arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.output

"""The command line with a bad environment: one line, status 1, no secret, no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lightchallenge_dagster.cli import cli
from lightchallenge_dagster.settings import NOT_USED, Settings, SettingsError, variables
from tests import builders as b
from tests.orchestration.conftest import World

SECRET = "s3cret"


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [*(n for f in Settings.model_fields for n in variables(f)), *NOT_USED]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"postgresql://u:{SECRET}@host:notaport/db", "is not a database URL"),
        (f"postgresql://u:{SECRET}@h:{SECRET}@127.0.0.1:1/db", "is not a database URL"),
        (f"postgresql://u:{SECRET}@[::1/db", "is not a database URL"),
        (f"postgresql://u:{SECRET}%00@127.0.0.1:1/db", "is not a database URL"),
        (f"postgresql://u:{SECRET}@{'a' * 100}.example/db", "is not a database URL"),
        (SECRET, "is not a database URL"),
        (f"mysql://u:{SECRET}@127.0.0.1/db", "only PostgreSQL is supported"),
        (f"postgresql://u:{SECRET}@127.0.0.1:1/db", "Connection refused; check DATABASE_URL"),
        (f"postgresql://u:{SECRET}@127.0.0.1:99999/db", "invalid port number"),
        (f"postgresql://u:{SECRET}@127.0.0.1:1/db?sslmode=bogus", "invalid sslmode"),
        (f"postgresql://u:{SECRET}@127.0.0.1:1/db?foo=bar", "invalid connection option"),
        ("", "DATABASE_URL is not set"),
    ],
)
def test_a_database_that_cannot_be_reached_is_one_line_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str, says: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    result = run("migrate")
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), "no traceback"
    assert says in result.output
    assert SECRET not in result.output
    assert len(result.output.splitlines()) == 1


def test_health_without_any_setting_reports_each_check_instead_of_breaking_off() -> None:
    result = run("health")
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "DATABASE_URL is not set" in result.output
    assert "LCAI_RPC is not set" in result.output
    assert "0 green" in result.output


def test_a_check_that_cannot_be_evaluated_gives_no_advice_about_violations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LCAI_WORKER_PK", "0x1234")
    output = run("health").output
    assert "cannot evaluate" in output
    assert "Send LCAI" not in output


def test_an_env_file_wins_over_the_environment_as_it_does_in_dagster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MAX_BLOCK_RANGE", "5998")
    (tmp_path / ".env").write_text("MAX_BLOCK_RANGE=5999\n")
    line = next(line for line in run("settings").output.splitlines() if "MAX_BLOCK" in line)
    assert line.split() == ["MAX_BLOCK_RANGE", "5999"]


def test_an_env_file_that_cannot_be_read_is_named_and_not_quoted(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"LCAI_WORKER_PK=" + SECRET.encode() + b"\xff\n")
    result = run("settings")
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert ".env cannot be read" in result.output
    assert SECRET not in result.output


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONFIRMATION_BLOCKS", "12.5"), ("CONFIRMATION_BLOCKS", "-1"), ("START_BLOCK", "latest"),
        ("START_BLOCK", str(2**64)), ("LCAI_CHAIN_ID", "0"), ("MAX_BLOCK_RANGE", "0"),
        ("COMPETITIVE_MARGIN", "9" * 18), ("SUBMIT_RESERVE", "2h"), ("SUBMIT_RESERVE", "9" * 18),
        ("EVIDENCE_COLLECTOR_LOOKBACK_DAYS", "1000000000"), ("AIVM_REQUEST_FEE_WEI", "1 LCAI"),
        ("AIVM_REQUEST_FEE_WEI", "9" * 80), ("CHALLENGE_WORKER_MAX_ATTEMPTS", "0"),
        ("FINALIZE_DESPITE_MISSING_WINNERS", "perhaps"),
        ("TREASURY_ADDRESS", "0x" + "1_1" * 13 + "1"), ("TREASURY_ADDRESS", "0x+" + "1" * 39),
        ("CHALLENGEPAY_LEGACY_ADDRESSES", "0x" + "11" * 20 + ",0x12"),
    ],
)  # fmt: skip
def test_a_value_that_no_step_could_work_with_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        Settings.load()


@pytest.fixture
def deployed(world: World, database_url: str, monkeypatch: pytest.MonkeyPatch) -> World:
    """An environment that names this test's database and chain."""
    devnet = world.devnet
    for name, value in {
        "DATABASE_URL": database_url,
        "LCAI_RPC": world.anvil.url,
        "LCAI_CHAIN_ID": str(devnet.chain_id),
        "CHALLENGEPAY_ADDRESS": devnet.challengepay,
        "TREASURY_ADDRESS": devnet.treasury,
        "AIVM_INFERENCE_V2_ADDRESS": devnet.aivm_inference,
        "AIVM_TASK_REGISTRY_ADDRESS": devnet.task_registry,
        "CONFIRMATION_BLOCKS": "2",
        "STATUS_INDEXER_SEED_LOOKBACK": "5",
    }.items():
        monkeypatch.setenv(name, value)
    return world


def test_the_checkpoint_is_seeded_from_the_command_line_as_the_runbook_says(
    deployed: World,
) -> None:
    deployed.anvil.mine(20)
    result = run("set-checkpoint")
    head = deployed.anvil.block_number()
    assert (result.exit_code, f"block {head - 6} is read next" in result.output) == (0, True)
    rows = b.rows(deployed.database, "select block_number, first_block from pipeline.checkpoints")
    assert rows == [(head - 7, head - 6)]


def test_setting_the_checkpoint_forward_is_one_line_and_holds_nobody_up(deployed: World) -> None:
    deployed.anvil.mine(20)
    assert run("set-checkpoint").exit_code == 0
    block = str(deployed.anvil.block_number() - 3)
    result = run("set-checkpoint", "--block", block)
    assert (result.exit_code, "were never read" in result.output) == (1, True)
    assert len(result.output.splitlines()) == 1
    assert run("set-checkpoint", "--look-back", "9").exit_code == 0, "the lease is free"

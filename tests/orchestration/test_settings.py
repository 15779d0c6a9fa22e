from __future__ import annotations

import re
from pathlib import Path

import pytest

from lightchallenge_dagster.definitions import resources
from lightchallenge_dagster.settings import NOT_USED, Settings, SettingsError, variables

ROOT = Path(__file__).parents[2]
READ = {name for field in Settings.model_fields for name in variables(field)}

# Every variable that the existing deployment's guide and runbook name.
OF_THE_EXISTING_DEPLOYMENT = re.findall(
    r"\w+",
    """
    DATABASE_URL EVIDENCE_COLLECTOR_POLL_MS EVIDENCE_COLLECTOR_LOOKBACK_DAYS
    EVIDENCE_EVALUATOR_POLL_MS EVIDENCE_EVALUATOR_BATCH CHALLENGE_DISPATCHER_POLL_MS
    CHALLENGE_DISPATCHER_SCAN_LIMIT CHALLENGE_WORKER_POLL_MS CHALLENGE_WORKER_CONCURRENCY
    CHALLENGE_WORKER_MAX_ATTEMPTS LCAI_WORKER_PK AIVM_INFERENCE_V2_ADDRESS
    AIVM_TASK_REGISTRY_ADDRESS CHALLENGE_TASK_REGISTRY_ADDRESS AIVM_INDEXER_POLL_MS
    CHALLENGEPAY_ADDRESS LCAI_FINALIZE_PK LCAI_RPC NEXT_PUBLIC_RPC_URL LIGHTCHAIN_RPC
    CLAIMS_INDEXER_POLL_MS NEXT_PUBLIC_CHALLENGEPAY_ADDR NEXT_PUBLIC_TREASURY_ADDR
    TREASURY_ADDRESS STATUS_INDEXER_POLL_MS STATUS_INDEXER_SEED_LOOKBACK ADMIN_PRIVATE_KEY
    PRIVATE_KEY CHALLENGEPAY_AIVM_POI_VERIFIER_ADDRESS BASE_URL NEXT_PUBLIC_BASE_URL
    METADATA_REGISTRY METADATA_REGISTRY_KEY CHALLENGEPAY DRY_RUN BATCH_SIZE ADMIN_KEY
    OAUTH_ENCRYPTION_KEY AIVM_REQUEST_FEE_WEI CONFIRMATION_BLOCKS MAX_BLOCK_RANGE
    RELAY_ENABLED LCAI_WORKER_ADDRESS LCAI_FINALIZE_ADDRESS AIVM_VERIFIER CHALLENGE_ID
    SUBJECT EXPECTED_CALLER RULE_JSON ACTIVITIES_JSON
    """,
)


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*READ, *NOT_USED]:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", OF_THE_EXISTING_DEPLOYMENT)
def test_a_variable_of_the_existing_deployment_is_read_or_refused_by_name(name: str) -> None:
    assert (name in READ) != (name in NOT_USED)


def test_nothing_has_to_be_set_to_load() -> None:
    assert Settings.load().chain_id == 504


def test_of_several_names_the_first_that_is_set_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXT_PUBLIC_CHAIN_ID", "7")
    assert Settings.load().chain_id == 7
    monkeypatch.setenv("LCAI_CHAIN_ID", "8")
    assert Settings.load().chain_id == 8


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFIRMATION_BLOCKS", "")
    assert Settings.load().confirmation_blocks == 12


def test_an_unreadable_value_is_refused_by_its_variable_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TREASURY_ADDRESS", "0xsecret-in-the-wrong-place")
    with pytest.raises(SettingsError, match="TREASURY_ADDRESS") as caught:
        Settings.load()
    assert "secret-in-the-wrong-place" not in str(caught.value)


def test_asking_for_what_is_not_set_names_its_variables() -> None:
    with pytest.raises(SettingsError, match="LCAI_RPC or NEXT_PUBLIC_RPC_URL"):
        Settings.load().need("rpc_url")


def test_addresses_are_read_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREASURY_ADDRESS", "0xE84C197614D4FAAE1CDA8D6067FFE43BEFD9E961")
    assert Settings.load().treasury == "0xe84c197614d4faae1cda8d6067ffe43befd9e961"


GOOD = "0x52908400098527886E0F7030069857D2E4169EE7"
MIXED = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


@pytest.mark.parametrize("value", [GOOD, GOOD.lower(), f"0X{GOOD[2:]}", MIXED, f" {MIXED} "])
def test_an_address_in_one_case_or_with_its_checksum_is_read(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("CHALLENGEPAY_ADDRESS", value)
    assert Settings.load().challengepay == value.strip().lower()


@pytest.mark.parametrize("name", ["CHALLENGEPAY_ADDRESS", "CHALLENGEPAY_LEGACY_ADDRESSES"])
def test_an_address_whose_checksum_is_wrong_is_taken_for_mistyped(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    mistyped = MIXED.replace("5aAe", "6aAe")
    monkeypatch.setenv(name, mistyped)
    with pytest.raises(SettingsError, match=f"{name}.*EIP-55 checksum") as caught:
        Settings.load()
    assert mistyped not in str(caught.value)


@pytest.mark.parametrize("value", ["0.1", "1e9", "1 LCAI"])
def test_an_amount_that_is_no_whole_number_of_wei_is_refused_with_its_unit(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("AIVM_REQUEST_FEE_WEI", value)
    with pytest.raises(SettingsError, match=r"AIVM_REQUEST_FEE_WEI: .*\(wei, a whole number\)"):
        Settings.load()


@pytest.mark.parametrize(
    ("value", "read"),
    [("https://app.example/", "https://app.example"), ("http://h:1/x/", "http://h:1/x")],
)
def test_the_web_apps_address_is_read_without_the_slash_at_its_end(
    monkeypatch: pytest.MonkeyPatch, value: str, read: str
) -> None:
    monkeypatch.setenv("NEXT_PUBLIC_BASE_URL", value)
    assert Settings.load().base_url == read


@pytest.mark.parametrize("value", ["app.example", "https://", "ftp://h", "https://h?x=1", "x y"])
def test_a_web_address_that_is_none_is_refused_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("BASE_URL", value)
    with pytest.raises(SettingsError, match="BASE_URL"):
        Settings.load()


def test_the_limits_on_money_reach_the_outbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_FEE_PER_GAS_WEI", "7")
    monkeypatch.setenv("MAX_TRANSACTION_VALUE_WEI", "8")
    monkeypatch.setenv("MAX_REQUEST_SPEND_PER_DAY_WEI", "9")
    policy = resources(Settings.load())["policy"].outbox(chain_id=504, confirmations=12)
    assert (policy.chain_id, policy.confirmations) == (504, 12)
    assert (policy.max_fee_per_gas_wei, policy.max_value_wei) == (7, 8)
    assert policy.max_request_spend_per_day_wei == 9


def test_nothing_is_sent_without_limits_by_default() -> None:
    policy = resources(Settings.load())["policy"].outbox(chain_id=504, confirmations=12)
    assert policy.max_fee_per_gas_wei == 500 * 10**9
    assert policy.max_value_wei == 10**17
    assert policy.max_request_spend_per_day_wei == 10**18


def test_the_documents_name_exactly_the_variables_that_are_read() -> None:
    rows = (ROOT / "docs" / "configuration.md").read_text().splitlines()
    documented = {
        name
        for row in rows
        if row.startswith("| `")
        for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", row.split("|")[1])
    }
    assert documented == READ | set(NOT_USED) | {"DAGSTER_POSTGRES_URL", "DAGSTER_HOME"}


def test_the_example_environment_offers_every_setting() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    offered = {match[1] for line in lines if (match := re.match(r"#?([A-Z][A-Z0-9_]+)=", line))}
    first_names = {variables(field)[0] for field in Settings.model_fields}
    assert offered == first_names | {"DAGSTER_POSTGRES_URL", "DAGSTER_HOME"}

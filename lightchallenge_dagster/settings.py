"""Every environment variable this package reads, in one place.

The names are the existing deployment's own, so its ``.env`` works unchanged: where several names
mean one thing, the first that is set wins. ``docs/configuration.md`` is the same table for people,
and a test keeps the two alike.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from lightchallenge_dagster.errors import PermanentError


class SettingsError(PermanentError):
    """A variable is missing or cannot be read; the message names it and what it should hold."""


def _address(value: str) -> str:
    lowered = value.strip().lower()
    if len(lowered) != 42 or not lowered.startswith("0x"):
        raise ValueError("expected a 0x address of 40 hex digits")
    int(lowered[2:], 16)
    return lowered


def _address_list(value: str) -> str:
    return ",".join(_address(part) for part in value.split(",") if part.strip())


Address = Annotated[str, AfterValidator(_address)]
Addresses = Annotated[str, AfterValidator(_address_list)]


def _names(*names: str) -> AliasChoices:
    return AliasChoices(*names)


class Settings(BaseSettings):
    """What the environment says. Nothing is required to load; what a step needs, it asks for."""

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True, env_ignore_empty=True)

    # Where things are
    database_url: SecretStr | None = Field(None, validation_alias=_names("DATABASE_URL"))
    rpc_url: SecretStr | None = Field(
        None, validation_alias=_names("LCAI_RPC", "NEXT_PUBLIC_RPC_URL", "LIGHTCHAIN_RPC")
    )
    chain_id: int = Field(504, validation_alias=_names("LCAI_CHAIN_ID", "NEXT_PUBLIC_CHAIN_ID"))
    challengepay: Address | None = Field(
        None,
        validation_alias=_names(
            "CHALLENGEPAY_ADDRESS", "NEXT_PUBLIC_CHALLENGEPAY_ADDR", "CHALLENGEPAY"
        ),
    )
    treasury: Address | None = Field(
        None, validation_alias=_names("TREASURY_ADDRESS", "NEXT_PUBLIC_TREASURY_ADDR")
    )
    aivm_inference: Address | None = Field(
        None, validation_alias=_names("AIVM_INFERENCE_V2_ADDRESS")
    )
    task_registry: Address | None = Field(
        None,
        validation_alias=_names("AIVM_TASK_REGISTRY_ADDRESS", "CHALLENGE_TASK_REGISTRY_ADDRESS"),
    )
    poi_verifier: Address | None = Field(
        None, validation_alias=_names("CHALLENGEPAY_AIVM_POI_VERIFIER_ADDRESS")
    )
    achievement: Address | None = Field(
        None, validation_alias=_names("NEXT_PUBLIC_ACHIEVEMENT_ADDR")
    )
    metadata_registry: Address | None = Field(None, validation_alias=_names("METADATA_REGISTRY"))
    legacy_challengepay: Addresses = Field(
        "", validation_alias=_names("CHALLENGEPAY_LEGACY_ADDRESSES")
    )
    base_url: str | None = Field(None, validation_alias=_names("BASE_URL", "NEXT_PUBLIC_BASE_URL"))

    # Keys
    worker_key: SecretStr | None = Field(None, validation_alias=_names("LCAI_WORKER_PK"))
    finalize_key: SecretStr | None = Field(None, validation_alias=_names("LCAI_FINALIZE_PK"))
    metadata_registry_key: SecretStr | None = Field(
        None, validation_alias=_names("METADATA_REGISTRY_KEY")
    )
    oauth_encryption_key: SecretStr | None = Field(
        None, validation_alias=_names("OAUTH_ENCRYPTION_KEY")
    )

    # Reading the chain
    start_block: int = Field(0, ge=0, validation_alias=_names("START_BLOCK"))
    confirmation_blocks: int = Field(12, ge=0, validation_alias=_names("CONFIRMATION_BLOCKS"))
    max_block_range: int = Field(2000, ge=1, validation_alias=_names("MAX_BLOCK_RANGE"))
    seed_lookback: int = Field(
        50_000, ge=0, validation_alias=_names("STATUS_INDEXER_SEED_LOOKBACK")
    )

    # Judging and money
    competitive_margin_s: int = Field(7200, ge=0, validation_alias=_names("COMPETITIVE_MARGIN"))
    submit_reserve_s: int = Field(600, ge=0, validation_alias=_names("SUBMIT_RESERVE"))
    finalize_despite_missing_winners: bool = Field(
        False, validation_alias=_names("FINALIZE_DESPITE_MISSING_WINNERS")
    )
    request_fee_wei: int = Field(10**15, ge=0, validation_alias=_names("AIVM_REQUEST_FEE_WEI"))
    max_attempts: int = Field(10, ge=1, validation_alias=_names("CHALLENGE_WORKER_MAX_ATTEMPTS"))
    worker_concurrency: int = Field(
        2, ge=1, validation_alias=_names("CHALLENGE_WORKER_CONCURRENCY")
    )
    dispatch_limit: int = Field(
        200, ge=1, validation_alias=_names("CHALLENGE_DISPATCHER_SCAN_LIMIT")
    )

    # Evidence
    opendota_base: str = Field(
        "https://api.opendota.com/api", validation_alias=_names("OPENDOTA_BASE")
    )
    inbox: str = Field("inbox", validation_alias=_names("EVIDENCE_INBOX"))
    lookback_days: int = Field(
        90, ge=1, validation_alias=_names("EVIDENCE_COLLECTOR_LOOKBACK_DAYS")
    )
    evaluator_batch: int = Field(50, ge=1, validation_alias=_names("EVIDENCE_EVALUATOR_BATCH"))

    # How often the sensors look (milliseconds, as the workers' polls)
    collector_poll_ms: int = Field(
        300_000, ge=60_000, validation_alias=_names("EVIDENCE_COLLECTOR_POLL_MS")
    )
    evaluator_poll_ms: int = Field(
        15_000, ge=1000, validation_alias=_names("EVIDENCE_EVALUATOR_POLL_MS")
    )
    dispatcher_poll_ms: int = Field(
        10_000, ge=1000, validation_alias=_names("CHALLENGE_DISPATCHER_POLL_MS")
    )
    worker_poll_ms: int = Field(5000, ge=1000, validation_alias=_names("CHALLENGE_WORKER_POLL_MS"))
    aivm_poll_ms: int = Field(4000, ge=1000, validation_alias=_names("AIVM_INDEXER_POLL_MS"))
    claims_poll_ms: int = Field(6000, ge=1000, validation_alias=_names("CLAIMS_INDEXER_POLL_MS"))
    status_poll_ms: int = Field(6000, ge=1000, validation_alias=_names("STATUS_INDEXER_POLL_MS"))

    @classmethod
    def load(cls) -> Settings:
        """Read the process environment; ``SettingsError`` names every unreadable variable."""
        try:
            return cls()  # pyright: ignore[reportCallIssue]
        except ValidationError as error:
            # The rejected value is left out on purpose: it may be a secret in the wrong variable.
            problems = "; ".join(
                f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
                for item in error.errors(include_input=False, include_url=False)
            )
            raise SettingsError(
                f"the environment holds values that cannot be read: {problems}"
            ) from None

    def need(self, field: str) -> Any:
        """The value of ``field``; raises ``SettingsError`` with its variable's name when unset."""
        value: Any = getattr(self, field)
        if value is None or value == "":
            raise SettingsError(
                f"{' or '.join(variables(field))} is not set; see docs/configuration.md"
            )
        return value.get_secret_value() if isinstance(value, SecretStr) else value


def variables(field: str) -> tuple[str, ...]:
    """The environment variables that set ``field``, in order of precedence."""
    alias = Settings.model_fields[field].validation_alias
    if not isinstance(alias, AliasChoices):
        raise KeyError(field)
    return tuple(str(choice) for choice in alias.choices)


def variable_in_use(field: str, environ: Mapping[str, str] | None = None) -> str | None:
    """Which of a field's variables the environment sets, or None."""
    source = os.environ if environ is None else environ
    return next((name for name in variables(field) if source.get(name)), None)


# Variables of the deployment we replace that mean nothing here, and why. They may stay in the
# .env; `lightchallenge settings` names them.
NOT_USED: dict[str, str] = {
    "PRIVATE_KEY": "the deployer's key: nothing here deploys contracts",
    "ADMIN_PRIVATE_KEY": "the admin's key: nothing here acts as the ChallengePay admin",
    "ADMIN_KEY": "web routes are out of scope",
    "LCAI_WORKER_ADDRESS": "the wallet follows from LCAI_WORKER_PK",
    "LCAI_FINALIZE_ADDRESS": "the wallet follows from LCAI_FINALIZE_PK",
    "RELAY_ENABLED": "TrustedForwarder is out of scope",
    "DRY_RUN": "dry_run is part of each ops job's run configuration",
    "BATCH_SIZE": "batch_size is part of each ops job's run configuration",
    "AIVM_VERIFIER": "signer-based proofs are out of scope",
    "CHALLENGE_ID": "challenges are chosen in a job's run configuration",
    "SUBJECT": "subjects are chosen in a job's run configuration",
    "EXPECTED_CALLER": "signer-based proofs are out of scope",
    "RULE_JSON": "signer-based proofs are out of scope",
    "ACTIVITIES_JSON": "signer-based proofs are out of scope",
}

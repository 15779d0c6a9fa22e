"""Every environment variable this package reads, in one place.

The names are the existing deployment's own, so its ``.env`` works unchanged: where several names
mean one thing, the first that is set wins. ``docs/configuration.md`` and ``.env.example`` hold the
same list for people, and a test keeps the three alike.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from lightchallenge_dagster.errors import PermanentError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


class SettingsError(PermanentError):
    """A variable is missing or cannot be read; the message names it and what it should hold."""


def _address(value: str) -> str:
    lowered = value.strip().lower()
    if not re.fullmatch(r"0x[0-9a-f]{40}", lowered):
        raise ValueError("expected a 0x address of 40 hex digits")
    digits = value.strip()[2:]
    if digits not in (digits.lower(), digits.upper()) and not _is_checksummed(f"0x{digits}"):
        raise ValueError(
            "the case of its letters is no EIP-55 checksum, so it is mistyped; "
            "lowercase would be taken as it is"
        )
    return lowered


def _is_checksummed(address: str) -> bool:
    from eth_utils.address import is_checksum_address

    return is_checksum_address(address)


def _address_list(value: str) -> str:
    return ",".join(_address(part) for part in value.split(",") if part.strip())


def _base_url(value: str) -> str:
    url = value.strip().rstrip("/")
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", url):
        raise ValueError("expected an address such as https://app.lightchallenge.ai")
    return url


Address = Annotated[str, AfterValidator(_address)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
Addresses = Annotated[str, AfterValidator(_address_list)]


_DAY_S = 86_400
_BIGINT = 2**63 - 1


def _var(
    default: Any,
    *names: str,
    about: str,
    at_least: int | None = None,
    at_most: int | None = None,
) -> Any:
    return Field(
        default, validation_alias=AliasChoices(*names), description=about, ge=at_least, le=at_most
    )


class Settings(BaseSettings):
    """What the environment says. Nothing is required to load; what a step needs, it asks for."""

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True, env_ignore_empty=True)

    database_url: SecretStr | None = _var(
        None, "DATABASE_URL", about="PostgreSQL of the web app and this pipeline"
    )
    rpc_url: SecretStr | None = _var(
        None,
        "LCAI_RPC",
        "NEXT_PUBLIC_RPC_URL",
        "LIGHTCHAIN_RPC",
        about="JSON-RPC of a LightChain node; several, comma-separated, in order of preference",
    )
    chain_id: int = _var(
        504,
        "LCAI_CHAIN_ID",
        "NEXT_PUBLIC_CHAIN_ID",
        at_least=1,
        at_most=_BIGINT,
        about="the chain's id",
    )
    challengepay: Address | None = _var(
        None,
        "CHALLENGEPAY_ADDRESS",
        "NEXT_PUBLIC_CHALLENGEPAY_ADDR",
        "CHALLENGEPAY",
        about="ChallengePay (V1)",
    )
    treasury: Address | None = _var(
        None, "TREASURY_ADDRESS", "NEXT_PUBLIC_TREASURY_ADDR", about="Treasury"
    )
    aivm_inference: Address | None = _var(
        None, "AIVM_INFERENCE_V2_ADDRESS", about="Lightchain's AIVMInferenceV2"
    )
    task_registry: Address | None = _var(
        None,
        "AIVM_TASK_REGISTRY_ADDRESS",
        "CHALLENGE_TASK_REGISTRY_ADDRESS",
        about="ChallengeTaskRegistry",
    )
    poi_verifier: Address | None = _var(
        None,
        "CHALLENGEPAY_AIVM_POI_VERIFIER_ADDRESS",
        about="ChallengePayAivmPoiVerifier; proofs go by each challenge's own verifier",
    )
    achievement: Address | None = _var(
        None, "NEXT_PUBLIC_ACHIEVEMENT_ADDR", about="ChallengeAchievement; unset: not indexed"
    )
    metadata_registry: Address | None = _var(
        None, "METADATA_REGISTRY", about="MetadataRegistry; unset: not indexed"
    )
    base_url: BaseUrl | None = _var(
        None,
        "BASE_URL",
        "NEXT_PUBLIC_BASE_URL",
        about="the web app's address, for the URIs that MetadataRegistry holds",
    )
    legacy_challengepay: Addresses = _var(
        "",
        "CHALLENGEPAY_LEGACY_ADDRESSES",
        about="pre-V1 ChallengePay contracts, comma-separated; only their claims are indexed",
    )
    worker_key: SecretStr | None = _var(
        None, "LCAI_WORKER_PK", about="private key that signs AIVM requests and bindings"
    )
    finalize_key: SecretStr | None = _var(
        None,
        "LCAI_FINALIZE_PK",
        about="private key that signs proofs and finalize; unset: the worker's",
    )
    metadata_key: SecretStr | None = _var(
        None,
        "METADATA_REGISTRY_KEY",
        about="private key of MetadataRegistry's owner, for backfill_metadata_registry only",
    )
    start_block: int = _var(
        0,
        "START_BLOCK",
        at_least=0,
        at_most=_BIGINT,
        about="first block to index on a database without checkpoint",
    )
    confirmation_blocks: int = _var(
        12,
        "CONFIRMATION_BLOCKS",
        at_least=0,
        at_most=1_000_000,
        about="blocks on top before a block is indexed",
    )
    max_block_range: int = _var(
        2000,
        "MAX_BLOCK_RANGE",
        at_least=1,
        at_most=1_000_000,
        about="most blocks in one eth_getLogs",
    )
    verify_behind_blocks: int = _var(
        64,
        "VERIFY_BEHIND_BLOCKS",
        at_least=0,
        at_most=1_000_000,
        about="blocks below the checkpoint before blocks are read a second time",
    )
    seed_lookback: int = _var(
        50_000,
        "STATUS_INDEXER_SEED_LOOKBACK",
        at_least=0,
        at_most=_BIGINT,
        about="blocks below the confirmed head that set_checkpoint goes to by default",
    )
    competitive_margin_s: int = _var(
        7200,
        "COMPETITIVE_MARGIN",
        at_least=0,
        at_most=365 * _DAY_S,
        about="seconds before the proof deadline at which a competitive ranking closes",
    )
    submit_reserve_s: int = _var(
        600,
        "SUBMIT_RESERVE",
        at_least=0,
        at_most=365 * _DAY_S,
        about="seconds before the proof deadline kept for bindings and proofs, whatever else",
    )
    finalize_despite_missing_winners: bool = _var(
        False,
        "FINALIZE_DESPITE_MISSING_WINNERS",
        about="1: finalize all that is overdue, also with winners missing on chain or undecided, "
        "who then forfeit",
    )
    request_fee_wei: int = _var(
        10**15,
        "AIVM_REQUEST_FEE_WEI",
        at_least=0,
        at_most=10**24,
        about="fee of one AIVM request, wei",
    )
    max_fee_per_gas_wei: int = _var(
        500 * 10**9,
        "MAX_FEE_PER_GAS_WEI",
        at_least=1,
        at_most=10**24,
        about="most wei per gas that any transaction offers; above it everything waits",
    )
    max_transaction_value_wei: int = _var(
        10**17,
        "MAX_TRANSACTION_VALUE_WEI",
        at_least=0,
        at_most=10**24,
        about="most wei that one transaction may carry; what would carry more waits",
    )
    max_request_spend_per_day_wei: int = _var(
        10**18,
        "MAX_REQUEST_SPEND_PER_DAY_WEI",
        at_least=0,
        at_most=10**27,
        about="most wei that AIVM requests may cost within 24 hours, fees and gas; bindings, "
        "proofs and finalize are never held back by it",
    )
    max_attempts: int = _var(
        10,
        "CHALLENGE_WORKER_MAX_ATTEMPTS",
        at_least=1,
        at_most=1_000_000,
        about="refusals by the contract, and answers that prove nothing, before an AIVM job is "
        "dead",
    )
    metadata_batch_size: int = _var(
        50,
        "BATCH_SIZE",
        at_least=1,
        at_most=1000,
        about="most challenges in one run of backfill_metadata_registry",
    )
    opendota_base: str = _var(
        "https://api.opendota.com/api", "OPENDOTA_BASE", about="base URL of the OpenDota API"
    )
    inbox: str = _var("inbox", "EVIDENCE_INBOX", about="folder the web app puts uploads into")
    lookback_days: int = _var(
        90,
        "EVIDENCE_COLLECTOR_LOOKBACK_DAYS",
        at_least=1,
        at_most=3650,
        about="days of history fetched per linked account",
    )
    collector_poll_ms: int = _var(
        300_000,
        "EVIDENCE_COLLECTOR_POLL_MS",
        at_least=60_000,
        about="how often linked accounts are read; whole minutes",
    )
    evaluator_poll_ms: int = _var(
        15_000,
        "EVIDENCE_EVALUATOR_POLL_MS",
        at_least=1000,
        about="how often the upload, judgement, standings and reputation sensors look",
    )
    dispatcher_poll_ms: int = _var(
        10_000,
        "CHALLENGE_DISPATCHER_POLL_MS",
        at_least=1000,
        about="how often the request sensor looks (the shorter of this and the worker's)",
    )
    worker_poll_ms: int = _var(
        5000, "CHALLENGE_WORKER_POLL_MS", at_least=1000, about="see CHALLENGE_DISPATCHER_POLL_MS"
    )
    aivm_poll_ms: int = _var(
        4000,
        "AIVM_INDEXER_POLL_MS",
        at_least=1000,
        about="how often the settlement and finalization sensors look, and the block sensor "
        "(the shortest of the three indexers')",
    )
    claims_poll_ms: int = _var(
        6000, "CLAIMS_INDEXER_POLL_MS", at_least=1000, about="see AIVM_INDEXER_POLL_MS"
    )
    status_poll_ms: int = _var(
        6000, "STATUS_INDEXER_POLL_MS", at_least=1000, about="see AIVM_INDEXER_POLL_MS"
    )

    @classmethod
    def load(cls) -> Settings:
        """Read the process environment; ``SettingsError`` names every unreadable variable."""
        try:
            return cls()
        except ValidationError as error:
            # The rejected value is left out on purpose: it may be a secret in the wrong variable.
            problems = "; ".join(
                f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}{_unit(item)}"
                for item in error.errors(include_input=False, include_url=False)
            )
            raise SettingsError(f"the environment holds unreadable values: {problems}") from None

    def need(self, field: str) -> Any:
        """The value of ``field``; raises ``SettingsError`` with its variable's name when unset."""
        value: Any = getattr(self, field)
        if value is None or value == "":
            raise SettingsError(
                f"{' or '.join(variables(field))} is not set; see docs/configuration.md"
            )
        return value.get_secret_value() if isinstance(value, SecretStr) else value


def _unit(problem: ErrorDetails) -> str:
    """What a number that is none should have been, where people write 0.1 or 1e9."""
    in_wei = str(problem["loc"][-1]).endswith("_WEI") and problem["type"].startswith("int_")
    return " (wei, a whole number)" if in_wei else ""


def rpc_urls(text: str) -> tuple[str, ...]:
    """The addresses in ``LCAI_RPC``, in order of preference.

    Raises ``SettingsError`` for an empty or a repeated one, by its place and never by its text:
    it may hold a key.
    """
    urls = tuple(piece.strip() for piece in text.split(","))
    seen: dict[str, int] = {}
    for place, url in enumerate(urls, start=1):
        which = f"LCAI_RPC, address {place} of {len(urls)},"
        if not url:
            raise SettingsError(f"{which} is empty: take the comma away or write an address there")
        first = seen.setdefault(url.rstrip("/"), place)
        if first != place:
            raise SettingsError(f"{which} is the same as address {first}: name each endpoint once")
    return urls


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


# Variables of the deployment we replace that are not read, and why. They may stay in the .env;
# `lightchallenge settings` names those that are set.
NOT_USED: dict[str, str] = {
    "CHALLENGE_DISPATCHER_SCAN_LIMIT": "dispatching is one set-based query over all challenges",
    "EVIDENCE_EVALUATOR_BATCH": "judging takes everything pending of a day at once",
    "CHALLENGE_WORKER_CONCURRENCY": "one run at a time signs; its transactions go out together",
    "OAUTH_ENCRYPTION_KEY": "no provider with OAuth tokens is collected yet",
    "PRIVATE_KEY": "the deployer's key: nothing here deploys contracts",
    "ADMIN_PRIVATE_KEY": "the admin's key: nothing here acts as the ChallengePay admin",
    "ADMIN_KEY": "web routes are out of scope",
    "LCAI_WORKER_ADDRESS": "the wallet follows from LCAI_WORKER_PK",
    "LCAI_FINALIZE_ADDRESS": "the wallet follows from LCAI_FINALIZE_PK",
    "RELAY_ENABLED": "TrustedForwarder is out of scope",
    "DRY_RUN": "each run says so itself: dry_run in its config",
    "AIVM_VERIFIER": "signer-based proofs are out of scope",
    "CHALLENGE_ID": "signer-based proofs are out of scope",
    "SUBJECT": "signer-based proofs are out of scope",
    "EXPECTED_CALLER": "signer-based proofs are out of scope",
    "RULE_JSON": "signer-based proofs are out of scope",
    "ACTIVITIES_JSON": "signer-based proofs are out of scope",
}

"""What exists, on one page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster import Definitions, EnvVar, in_process_executor

from lightchallenge_dagster.assets.chain import CHAIN_ASSETS
from lightchallenge_dagster.assets.evidence import evidence
from lightchallenge_dagster.assets.external import EXTERNAL_ASSETS
from lightchallenge_dagster.assets.judgement import JUDGEMENT_ASSETS
from lightchallenge_dagster.assets.standing import STANDING_ASSETS
from lightchallenge_dagster.checks.catalog import CHECKS
from lightchallenge_dagster.checks.evaluate import definition
from lightchallenge_dagster.jobs.chain import (
    follow_chain,
    rebuild_projection,
    set_checkpoint_job,
    verify_chain,
)
from lightchallenge_dagster.jobs.evidence import collect_evidence, take_in_uploads
from lightchallenge_dagster.jobs.money import (
    finalize_challenges,
    request_inferences,
    settle_winners,
)
from lightchallenge_dagster.jobs.ops import (
    backfill_chain_outcome,
    backfill_metadata_registry,
    cancel_terminal_jobs,
    reconcile,
    reset_stuck_jobs,
    run_aivm_job,
)
from lightchallenge_dagster.jobs.upkeep import prune_run_history
from lightchallenge_dagster.resources.chain import ChainResource
from lightchallenge_dagster.resources.database import DatabaseResource
from lightchallenge_dagster.resources.policy import Policy
from lightchallenge_dagster.resources.signers import SignersResource
from lightchallenge_dagster.resources.sources import EvidenceSources
from lightchallenge_dagster.schedules.upkeep import (
    collection_schedule,
    daily_retention,
    hourly_standings,
    overdue_finalizations,
)
from lightchallenge_dagster.sensors.chain import block_sensor, verification_sensor
from lightchallenge_dagster.sensors.evidence import upload_sensor
from lightchallenge_dagster.sensors.health import health_sensor
from lightchallenge_dagster.sensors.judgement import (
    compute_reputation,
    compute_standings,
    judge_and_rank,
    judgement_sensor,
    reputation_sensor,
    standings_sensor,
)
from lightchallenge_dagster.sensors.money import (
    finalization_sensor,
    request_sensor,
    settlement_sensor,
)
from lightchallenge_dagster.settings import Settings, variable_in_use


def build_defs(
    settings: Settings | None = None, *, resource_overrides: Mapping[str, Any] | None = None
) -> Definitions:
    """The whole project. ``resource_overrides`` is the one seam tests need.

    Loading reads the environment and nothing else: no database, no node, no file.
    """
    settings = settings or Settings.load()
    return Definitions(
        assets=[
            *EXTERNAL_ASSETS,
            *CHAIN_ASSETS,
            evidence,
            *JUDGEMENT_ASSETS,
            *STANDING_ASSETS,
        ],
        asset_checks=[definition(check) for check in CHECKS],
        jobs=[
            follow_chain,
            verify_chain,
            set_checkpoint_job,
            rebuild_projection,
            take_in_uploads,
            collect_evidence,
            judge_and_rank,
            compute_standings,
            compute_reputation,
            request_inferences,
            settle_winners,
            finalize_challenges,
            run_aivm_job,
            cancel_terminal_jobs,
            reset_stuck_jobs,
            backfill_chain_outcome,
            backfill_metadata_registry,
            reconcile,
            prune_run_history,
        ],
        sensors=[
            block_sensor(
                _seconds(settings.aivm_poll_ms, settings.claims_poll_ms, settings.status_poll_ms)
            ),
            verification_sensor(15),
            upload_sensor(_seconds(settings.evaluator_poll_ms)),
            judgement_sensor(_seconds(settings.evaluator_poll_ms)),
            request_sensor(_seconds(settings.dispatcher_poll_ms, settings.worker_poll_ms)),
            settlement_sensor(_seconds(settings.aivm_poll_ms)),
            finalization_sensor(_seconds(settings.aivm_poll_ms)),
            standings_sensor(_seconds(settings.evaluator_poll_ms)),
            reputation_sensor(_seconds(settings.evaluator_poll_ms)),
            health_sensor(30),
        ],
        schedules=[
            collection_schedule(_cron(settings.collector_poll_ms)),
            overdue_finalizations,
            hourly_standings,
            daily_retention,
        ],
        resources={**resources(settings), **(resource_overrides or {})},
        executor=in_process_executor,
    )


def resources(settings: Settings | None = None) -> dict[str, Any]:
    """Secrets go in by the name of their variable, so that no snapshot ever holds a value."""
    settings = settings or Settings.load()
    return {
        "database": DatabaseResource(url=_secret("database_url")),
        "chain": ChainResource(
            rpc_url=_secret("rpc_url"),
            chain_id=settings.chain_id,
            challengepay=settings.challengepay,
            treasury=settings.treasury,
            aivm_inference=settings.aivm_inference,
            task_registry=settings.task_registry,
            poi_verifier=settings.poi_verifier,
            achievement=settings.achievement,
            metadata_registry=settings.metadata_registry,
            legacy_challengepay=settings.legacy_challengepay,
            start_block=settings.start_block,
            confirmation_blocks=settings.confirmation_blocks,
            max_block_range=settings.max_block_range,
            verify_behind_blocks=settings.verify_behind_blocks,
            seed_lookback=settings.seed_lookback,
        ),
        "signers": SignersResource(
            worker_key=_secret("worker_key"),
            finalize_key=_secret("finalize_key"),
            metadata_key=_secret("metadata_key"),
        ),
        "sources": EvidenceSources(
            opendota_base=settings.opendota_base,
            inbox=settings.inbox,
            lookback_days=settings.lookback_days,
        ),
        "policy": Policy(
            competitive_margin_s=settings.competitive_margin_s,
            submit_reserve_s=settings.submit_reserve_s,
            request_fee_wei=settings.request_fee_wei,
            max_attempts=settings.max_attempts,
            finalize_despite_missing_winners=settings.finalize_despite_missing_winners,
            max_fee_per_gas_wei=settings.max_fee_per_gas_wei,
            max_transaction_value_wei=settings.max_transaction_value_wei,
            max_request_spend_per_day_wei=settings.max_request_spend_per_day_wei,
            base_url=settings.base_url,
            metadata_batch_size=settings.metadata_batch_size,
        ),
    }


def _secret(field: str) -> EnvVar | None:
    # One that is not set is for the resource to miss, when it is needed and by name: Dagster would
    # refuse to make the resource, and with it every sensor and check that only might need it.
    name = variable_in_use(field)
    return EnvVar(name) if name else None


def _cron(every_ms: int) -> str:
    minutes = every_ms // 60_000
    return f"*/{minutes} * * * *" if minutes < 60 else f"0 */{min(minutes // 60, 23)} * * *"


def _seconds(*milliseconds: int) -> int:
    return max(1, min(milliseconds) // 1000)


defs = build_defs()

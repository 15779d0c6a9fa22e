"""The health sensor: every check, every half minute, without a run."""

# Dagster's own decorators are typed in part only.
# pyright: reportUnknownVariableType=false

import json
import time
from typing import Any

from dagster import (
    AssetCheckEvaluation,
    AssetKey,
    DagsterInstance,
    DefaultSensorStatus,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    sensor,
)

from lightchallenge_dagster.checks.catalog import CHECKS, Check, Surroundings
from lightchallenge_dagster.checks.evaluate import evaluation
from lightchallenge_dagster.resources.chain import ChainResource
from lightchallenge_dagster.resources.database import DatabaseResource
from lightchallenge_dagster.resources.signers import SignersResource
from lightchallenge_dagster.steps.health import Findings

#: An unchanged outcome is reported again after this long, so that "last evaluated" stays honest.
REPORT_AGAIN_AFTER_S = 3600


def health_sensor(interval_s: int) -> SensorDefinition:
    """Evaluates every check each ``interval_s`` seconds and reports what changed.

    A check that cannot be evaluated is reported as failed with the reason; the others go on.
    """

    @sensor(
        name="health_sensor",
        minimum_interval_seconds=interval_s,
        default_status=DefaultSensorStatus.RUNNING,
        description="Evaluates all asset checks and reports each change.",
        asset_selection=[check.asset for check in CHECKS],
    )
    def look_after_everything(
        context: SensorEvaluationContext,
        database: DatabaseResource,
        chain: ChainResource,
        signers: SignersResource,
    ) -> SensorResult:
        around = Surroundings(database, chain, signers)
        remembered: dict[str, Any] = json.loads(context.cursor) if context.cursor else {}
        written = _materializations(context.instance)
        now = time.time()
        events: list[AssetCheckEvaluation] = []
        red: list[str] = []
        for check in CHECKS:
            findings = find(check, around)
            # The UI counts a check as evaluated when that is newer than the table's last writing.
            outcome = [findings.healthy, findings.count, written.get(check.asset)]
            before = remembered.get(check.name)
            if not findings.healthy:
                red.append(check.name)
            if before is None or before[0] != outcome or now - before[1] > REPORT_AGAIN_AFTER_S:
                events.append(evaluation(check, findings))
                remembered[check.name] = [outcome, now]
        state = f"red: {', '.join(red)}" if red else f"all {len(CHECKS)} checks are green"
        return SensorResult(
            asset_events=events,
            cursor=json.dumps(remembered),
            skip_reason=None if events else state,
        )

    return look_after_everything


def _materializations(instance: DagsterInstance) -> dict[str, int | None]:
    """Storage id of each checked asset's newest materialization."""
    keys = sorted({AssetKey(check.asset) for check in CHECKS})
    return {
        record.asset_entry.asset_key.to_user_string(): (
            record.asset_entry.last_materialization_storage_id
        )
        for record in instance.get_asset_records(keys)
    }


def find(check: Check, around: Surroundings) -> Findings:
    """What the check finds; a check that cannot look has found its first problem."""
    try:
        return check.find(around)
    except Exception as error:  # noqa: BLE001 - reported as the check's failure, never swallowed
        return Findings(["cannot evaluate"], [(f"{type(error).__name__}: {error}",)], 1)

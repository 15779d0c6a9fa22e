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
from lightchallenge_dagster.resources.policy import Policy
from lightchallenge_dagster.resources.signers import SignersResource
from lightchallenge_dagster.steps.health import Findings

#: An unchanged outcome is reported again after this long, so that "last evaluated" stays honest.
REPORT_AGAIN_AFTER_S = 3600

#: A check that reads whole tables may take this share of the time: one that took a second is
#: evaluated again after fifty, and shows what it found until then. On small tables that is always.
PACE = 50
LONGEST_PAUSE_S = 3600.0

#: Of a check not evaluated yet: its outcome, when that was reported and when it was found, and when
#: to look again.
NEVER: list[Any] = [None, 0.0, 0.0, 0.0]


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
        policy: Policy,
    ) -> SensorResult:
        around = Surroundings(database, chain, signers, policy)
        remembered = _remembered(context.cursor)
        written = _materializations(context.instance)
        now = time.time()
        events: list[AssetCheckEvaluation] = []
        red: list[str] = []
        for check in CHECKS:
            outcome, reported_at, looked_at, again_at = remembered.get(check.name, NEVER)
            # A clock that was set back must not blind the sensor until it has caught up.
            if not looked_at <= now < again_at:
                findings, took_s = _timed(check, around)
                again_at = now + pause_s(check, took_s)
                # The UI counts a check as evaluated when that is newer than the table's last
                # writing.
                found = [findings.healthy, findings.count, written.get(check.asset)]
                if found != outcome or abs(now - reported_at) > REPORT_AGAIN_AFTER_S:
                    events.append(evaluation(check, findings))
                    outcome, reported_at = found, now
                remembered[check.name] = [outcome, reported_at, now, again_at]
            if not outcome[0]:
                red.append(check.name)
        state = f"red: {', '.join(red)}" if red else f"all {len(CHECKS)} checks are green"
        return SensorResult(
            asset_events=events,
            cursor=json.dumps(remembered),
            skip_reason=None if events else state,
        )

    return look_after_everything


def _remembered(cursor: str | None) -> dict[str, list[Any]]:
    """By check, what earlier ticks have found; nothing of a cursor of another shape."""
    known: dict[str, list[Any]] = json.loads(cursor) if cursor else {}
    return {name: one for name, one in known.items() if len(one) == len(NEVER)}


def _materializations(instance: DagsterInstance) -> dict[str, int | None]:
    """Storage id of each checked asset's newest materialization."""
    keys = sorted({AssetKey(check.asset) for check in CHECKS})
    return {
        record.asset_entry.asset_key.to_user_string(): (
            record.asset_entry.last_materialization_storage_id
        )
        for record in instance.get_asset_records(keys)
    }


def pause_s(check: Check, took_s: float) -> float:
    """Seconds for which a check that took so long is not evaluated again."""
    return min(LONGEST_PAUSE_S, PACE * took_s) if check.paced else 0.0


def _timed(check: Check, around: Surroundings) -> tuple[Findings, float]:
    began = time.perf_counter()
    findings = find(check, around)
    return findings, time.perf_counter() - began


def find(check: Check, around: Surroundings) -> Findings:
    """What the check finds; a check that cannot look has found its first problem."""
    try:
        return check.find(around)
    except Exception as error:  # noqa: BLE001 - reported as the check's failure, never swallowed
        why = f"{type(error).__name__}: {error}"
        return Findings(["cannot evaluate"], [(why,)], 1, blind=True)

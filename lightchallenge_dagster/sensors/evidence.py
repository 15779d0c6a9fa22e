"""The upload sensor: a file in the inbox is work."""

# Dagster's own decorators are typed in part only.
# pyright: reportUnknownVariableType=false

from dagster import DefaultSensorStatus, RunRequest, SensorDefinition, SkipReason, sensor

from lightchallenge_dagster.jobs.evidence import INTAKE_LEASE, take_in_uploads
from lightchallenge_dagster.resources.database import DatabaseResource
from lightchallenge_dagster.resources.sources import EvidenceSources
from lightchallenge_dagster.sensors.work import Work, requests_or_reason


def upload_sensor(interval_s: int) -> SensorDefinition:
    """Looks into the inbox every ``interval_s`` seconds."""

    @sensor(
        name="upload_sensor",
        job=take_in_uploads,
        minimum_interval_seconds=interval_s,
        default_status=DefaultSensorStatus.RUNNING,
        description="Uploads waiting in the inbox folder.",
    )
    def look_into_inbox(
        database: DatabaseResource, sources: EvidenceSources
    ) -> list[RunRequest] | SkipReason:
        from lightchallenge_dagster.steps import intake

        waiting = intake.waiting(sources.inbox_path())
        found = [Work(f"{waiting} uploads", INTAKE_LEASE)] if waiting else []
        return requests_or_reason(database.engine(), found, idle="no uploads waiting")

    return look_into_inbox

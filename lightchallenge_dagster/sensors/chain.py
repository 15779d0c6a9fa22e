"""The block sensor: follows the chain, launches a run only when there is something to store."""

from typing import TYPE_CHECKING
from uuid import uuid4

from dagster import (
    AddDynamicPartitionsRequest,
    DefaultSensorStatus,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    sensor,
)

from lightchallenge_dagster.assets.partitions import BLOCK_RANGES
from lightchallenge_dagster.jobs.chain import follow_chain, follow_lease
from lightchallenge_dagster.jobs.lease import LAUNCH_TTL_S, NAME_TAG, TOKEN_TAG
from lightchallenge_dagster.resources.chain import ChainResource
from lightchallenge_dagster.resources.database import DatabaseResource
from lightchallenge_dagster.rules.ranges import partitions_of
from lightchallenge_dagster.storage import leases

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightchallenge_dagster.steps.index import Outlook


def block_sensor(interval_s: int) -> SensorDefinition:
    """Looks at the chain every ``interval_s`` seconds.

    A tick looks under the follower's own lease, so it never reads beside a run in flight: an empty
    range is committed here and now, a range with logs hands the lease to one run. What happens
    while that run is busy becomes the next range.
    """

    @sensor(
        name="block_sensor",
        job=follow_chain,
        minimum_interval_seconds=interval_s,
        default_status=DefaultSensorStatus.RUNNING,
        description="New confirmed blocks: the tick commits empty ones, one run indexes the others.",
    )
    def look_at_chain(
        context: SensorEvaluationContext, database: DatabaseResource, chain: ChainResource
    ) -> SensorResult:
        from lightchallenge_dagster.steps import index

        engine = database.engine()
        policy = chain.index_policy()
        name = follow_lease(chain.chain_id)
        token = _take(engine, name)
        if token is None:
            return SensorResult(skip_reason="in flight: a run is indexing a range")
        outlook: "Outlook | None" = None
        try:
            outlook = index.look(engine, chain.reader(), policy)
        finally:
            # An outage must not cost the next tick: the lease is kept for a launched run only.
            if outlook is None or not outlook.waiting:
                _give_back(engine, name, token)
        if not outlook.waiting:
            return SensorResult(skip_reason=outlook.reason)
        return SensorResult(
            run_requests=[_request(outlook, name, token)],
            dynamic_partitions_requests=_new_ranges(context, outlook),
        )

    return look_at_chain


def _take(engine: "Engine", name: str) -> int | None:
    with engine.begin() as connection:
        return leases.acquire(connection, name, f"tick {uuid4()}", LAUNCH_TTL_S)


def _give_back(engine: "Engine", name: str, token: int) -> None:
    with engine.begin() as connection:
        leases.release(connection, name, token)


def _request(outlook: "Outlook", name: str, token: int) -> RunRequest:
    return RunRequest(
        run_key=f"{name}#{token}",
        tags={
            NAME_TAG: name,
            TOKEN_TAG: str(token),
            "lightchallenge/blocks": f"{outlook.from_block}-{outlook.to_block}",
        },
    )


def _new_ranges(
    context: SensorEvaluationContext, outlook: "Outlook"
) -> list[AddDynamicPartitionsRequest]:
    known = set(context.instance.get_dynamic_partitions(str(BLOCK_RANGES.name)))
    keys = [key for key in partitions_of(outlook.from_block, outlook.to_block) if key not in known]
    return [BLOCK_RANGES.build_add_request(keys)] if keys else []

"""The block sensor: follows the chain, launches a run only when there is something to store."""

# Dagster's own decorators are typed in part only.
# pyright: reportUnknownVariableType=false

from typing import TYPE_CHECKING
from uuid import uuid4

from dagster import (
    DefaultSensorStatus,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)

from lightchallenge_dagster.assets.partitions import BLOCK_RANGES, add_keys
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
        description="New confirmed blocks: empty ones are committed here, one run indexes others.",
    )
    def look_at_chain(
        context: SensorEvaluationContext, database: DatabaseResource, chain: ChainResource
    ) -> RunRequest | SkipReason:
        from lightchallenge_dagster.steps import index

        engine = database.engine()
        policy = chain.index_policy()
        name = follow_lease(chain.chain_id)
        token = _take(engine, name)
        if token is None:
            return SkipReason("in flight: a run is indexing a range")
        try:
            outlook = index.look(engine, chain.reader(), policy)
        except BaseException:
            # An outage must not cost the next tick: the lease is kept for a launched run only.
            _give_back(engine, name, token)
            raise
        if not outlook.waiting:
            _give_back(engine, name, token)
            return SkipReason(outlook.reason)
        add_keys(
            context.instance, BLOCK_RANGES, partitions_of(outlook.from_block, outlook.to_block)
        )
        return _request(outlook, name, token)

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

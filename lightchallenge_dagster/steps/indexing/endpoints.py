"""What is learned of the endpoints in one run, kept for the next."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

from sqlalchemy import Engine

from lightchallenge_dagster.chain.rpc import Rpc
from lightchallenge_dagster.steps.indexing.policy import IndexPolicy
from lightchallenge_dagster.storage import endpoints


@contextlib.contextmanager
def remembered(engine: Engine, policy: IndexPolicy, rpc: Rpc) -> Generator[None]:
    """Begin with the ranges that earlier runs found served, and keep this one's, also if it fails.

    No endpoint is asked for more than the policy's ``max_block_range``.
    """
    with engine.connect() as connection:
        endpoints.load(connection, policy.chain_id, rpc)
    rpc.limit_range(policy.max_block_range)
    try:
        yield
    finally:
        with engine.begin() as connection:
            endpoints.save(connection, policy.chain_id, rpc)

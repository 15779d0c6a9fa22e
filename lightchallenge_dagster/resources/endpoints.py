"""What is known of the endpoints of LCAI_RPC, carried from one tick or run to the next."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lightchallenge_dagster.storage import endpoints

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightchallenge_dagster.chain.rpc import Rpc


@contextmanager
def endpoints_remembered(engine: Engine, chain_id: int, rpc: Rpc) -> Generator[None]:
    """What earlier runs learned of the endpoints, and for later ones what this one learns."""
    with engine.connect() as connection:
        endpoints.load(connection, chain_id, rpc)
    try:
        yield
    finally:
        with engine.begin() as connection:
            endpoints.save(connection, chain_id, rpc)

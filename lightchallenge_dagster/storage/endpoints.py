"""What is known of the endpoints of LCAI_RPC, from one process to the next."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection, text

from lightchallenge_dagster.rules.ranges import RangeSize
from lightchallenge_dagster.storage import sql


class Endpoint(Protocol):
    """``chain.endpoints.Endpoint``, as far as it is remembered."""

    label: str
    fingerprint: str
    range: RangeSize
    failures: int
    good: int
    last_error: str | None
    last_error_at: datetime | None
    last_answer_at: datetime | None

    @property
    def learned(self) -> bool: ...
    def unsaved(self) -> dict[str, int]: ...
    def saved(self) -> None: ...
    def restore(self, size: RangeSize, failures: int, good: int, rest_s: float) -> None: ...
    def rest_left_s(self) -> float: ...


class Endpoints(Protocol):
    """``chain.rpc.Rpc``, as far as it is remembered."""

    @property
    def endpoints(self) -> Sequence[Endpoint]: ...


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """An endpoint for people: ``counts`` holds ``calls`` and failures by kind, of all runs."""

    label: str
    range_blocks: int
    counts: Mapping[str, int]
    failures_in_a_row: int
    rests_until: datetime | None
    last_error: str | None
    last_error_at: datetime | None
    last_answer_at: datetime | None
    updated_at: datetime


def load(connection: Connection, chain_id: int, rpc: Endpoints) -> None:
    """Give each endpoint of ``rpc`` the range and the rest that an earlier process left it with.

    From pipeline.rpc_endpoints, by the URL's fingerprint: their order in LCAI_RPC may change.
    """
    known = {
        row.fingerprint: row
        for row in connection.execute(text(sql.load("endpoints/load")), {"chain_id": chain_id})
    }
    for one in rpc.endpoints:
        if (row := known.get(one.fingerprint)) is not None:
            size = RangeSize(
                row.range_blocks, row.range_maximum, row.range_served, row.range_refused
            )
            one.restore(size, row.failures, row.good_answers, row.rest_s)


def save(connection: Connection, chain_id: int, rpc: Endpoints) -> None:
    """Keep what this process has learned of each endpoint, and add up its counts.

    Call it in a transaction of its own, at the end of a run, also of one that fails: what it has
    saved is not saved again, so a rollback afterwards loses counts.
    """
    # In one order everywhere, so that two processes never wait for each other.
    for one in sorted(rpc.endpoints, key=lambda one: one.fingerprint):
        connection.execute(
            text(sql.load("endpoints/save")),
            {
                "chain_id": chain_id,
                "fingerprint": one.fingerprint,
                "label": one.label,
                "blocks": one.range.blocks,
                "maximum": one.range.maximum,
                "served": one.range.served,
                "refused": one.range.refused_at,
                "learned": one.learned,
                "counts": json.dumps(one.unsaved()),
                "failures": one.failures,
                "good": one.good,
                "rest_s": one.rest_left_s(),
                "last_error": one.last_error,
                "last_error_at": one.last_error_at,
                "last_answer_at": one.last_answer_at,
            },
        )
        one.saved()


def rows(connection: Connection, chain_id: int) -> list[EndpointRow]:
    """What is known of every endpoint this chain was ever read from, those in use first."""
    found = connection.execute(
        text(
            "select label, range_blocks, counts, failures, rests_until, last_error, last_error_at,"
            " last_answer_at, updated_at from pipeline.rpc_endpoints where chain_id = :chain_id"
            " order by updated_at desc, label"
        ),
        {"chain_id": chain_id},
    )
    return [EndpointRow(*row) for row in found]

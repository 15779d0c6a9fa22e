"""One run of the step: where it looks and sends, and what it reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lightchallenge_dagster.steps.settling.report import SettlePolicy, SettleReport

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightchallenge_dagster.chain.contracts import Contracts
    from lightchallenge_dagster.steps.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Run:
    """``chain_now_ts``: chain time in epoch seconds, by which all of it judges."""

    engine: Engine
    contracts: Contracts
    outbox: Outbox
    chain_now_ts: int
    policy: SettlePolicy
    report: SettleReport = field(default_factory=SettleReport)

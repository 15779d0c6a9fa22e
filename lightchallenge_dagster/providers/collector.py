"""What a provider has to offer so that its accounts can be collected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

Record = dict[str, Any]
"""One canonical activity or game record, JSON values only (RULES.md)."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What an account had to show: records in a stable order, and why others were left out."""

    records: tuple[Record, ...]
    skipped: Mapping[str, int]


class Collector(Protocol):
    """A provider's client. One entry in ``steps.collect.COLLECTED`` and one client make a provider
    collectable."""

    def account(self, external_id: str) -> str:
        """The provider's own form of an account id, equal for equal accounts.

        Raises ``ProviderRefusedError`` for a text that cannot be an account.
        """
        ...

    def fetch(self, account: str, lookback_days: int, now: datetime) -> Fetched:
        """The canonical records of the last ``lookback_days``; raises the provider errors."""
        ...

    def recognises(self, record: object) -> bool:
        """Whether a stored value is a record that ``key`` and ``span`` can be asked about."""
        ...

    def key(self, record: Record) -> str | None:
        """What makes a record the same record in another answer; None when it has no identity."""
        ...

    def span(self, record: Record) -> tuple[float, float]:
        """When the record started and ended, epoch seconds."""
        ...

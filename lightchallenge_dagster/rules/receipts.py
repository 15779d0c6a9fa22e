"""A mined transaction, as everybody passes it around."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Log:
    """One log of a receipt; hex in lowercase."""

    address: str
    topics: tuple[str, ...]
    data: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """A mined transaction. ``succeeded`` is the EVM's word, not the contract's purpose."""

    hash: str
    block_number: int
    block_hash: str
    succeeded: bool
    gas_used: int
    effective_gas_price: int
    logs: tuple[Log, ...]

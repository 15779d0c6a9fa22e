"""What the indexer is told, and what it tells."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.rules.events import CONTRACTS, role_of, topics_for
from lightchallenge_dagster.rules.reorg import WINDOW

_ADDRESS = re.compile(r"^0x[0-9a-f]{40}$")


@dataclass(frozen=True, slots=True)
class IndexPolicy:
    """Which chain and contracts to read, and how carefully.

    ``addresses`` maps roles (challengepay, treasury, aivm_inference, task_registry, achievement,
    metadata_registry, legacy_challengepay_1, …) to addresses. ``confirmations`` blocks below the
    head are left unread, ``max_block_range`` blocks are asked for at most, ``start_block`` is the
    first one ever read. ``window`` headers below the checkpoint are kept for reorgs. ``mirror``
    off keeps public.indexer_state untouched (shadow mode).

    Raises ``PermanentError`` for a role nobody knows, a malformed address, or one address in two
    roles.
    """

    chain_id: int
    addresses: Mapping[str, str]
    confirmations: int = 12
    max_block_range: int = 2000
    start_block: int = 0
    window: int = WINDOW
    mirror: bool = True
    roles: Mapping[str, str] = field(init=False, repr=False)
    """Address -> role."""

    def __post_init__(self) -> None:
        roles: dict[str, str] = {}
        for role, given in self.addresses.items():
            address = given.lower()
            if role_of(role) not in CONTRACTS:
                raise PermanentError(f"no contract plays the role {role!r} for the indexer")
            if not _ADDRESS.match(address):
                raise PermanentError(f"the address of {role} is {given!r}; expected 0x and 40 hex")
            if address in roles:
                raise PermanentError(f"{role} and {roles[address]} have one address, {address}")
            roles[address] = role
        if not roles:
            raise PermanentError("the indexer has no contract address to read")
        for name in ("confirmations", "start_block"):
            if getattr(self, name) < 0:
                raise PermanentError(f"{name} is {getattr(self, name)}; it cannot be negative")
        if self.max_block_range < 1:
            raise PermanentError(f"MAX_BLOCK_RANGE is {self.max_block_range}; at least 1, please")
        object.__setattr__(self, "roles", roles)

    @property
    def topics(self) -> tuple[str, ...]:
        """Every topic0 these contracts emit and the registry knows."""
        return topics_for(self.roles.values())


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a look at the chain found; block numbers, and chain times in epoch seconds.

    ``waiting`` says that a run has something to do: the blocks ``from_block`` to ``to_block``,
    named by ``range_hash`` (the same for the same checkpoint and end), after undoing
    ``reorg_depth`` blocks. When nothing waits the range is empty (``from_block`` is ``to_block``
    + 1) and ``reason`` says why. ``empty_blocks`` were found empty and are committed already.
    ``node_behind`` means that the node has not got as far as the checkpoint.
    """

    waiting: bool
    reason: str
    head: int
    head_ts: int
    checkpoint: int
    from_block: int
    to_block: int
    range_hash: str = ""
    reorg_depth: int = 0
    empty_blocks: int = 0
    node_behind: bool = False

    @property
    def lag_blocks(self) -> int:
        """Blocks between the checkpoint and the head, confirmations included."""
        return self.head - self.checkpoint


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What a run read and wrote.

    Blocks are inclusive; when none was read, ``from_block`` is ``to_block`` + 1. ``rows_changed``
    counts by table ("public.claims"), ``partitions`` are those of chain_logs that were read or
    undone, ``lag_…`` is what still lies between the checkpoint and the head, confirmations
    included. ``added_logs`` and ``dropped_logs`` are what healing found missing and wrong,
    ``disputed`` says of each block that it could not settle why.
    ``by_hash_blocks`` lay so near the head that their logs were read by block hash,
    ``compared_answers`` had a number of logs at which nodes cut off and were read again in halves.
    ``endpoint_errors`` counts this run's failures by endpoint label and kind (``chain.failures``).
    """

    from_block: int
    to_block: int
    blocks: int
    logs: int
    undecoded: int
    rows_changed: dict[str, int]
    reorg_depth: int
    undone_logs: int
    head: int
    head_ts: int
    lag_blocks: int
    lag_seconds: int
    rpc_calls: int
    retries: int
    splits: int
    seconds_rpc: float
    seconds_sql: float
    partitions: list[str]
    added_logs: int = 0
    dropped_logs: int = 0
    disputed: list[str] = field(default_factory=list[str])
    by_hash_blocks: int = 0
    compared_answers: int = 0
    endpoint_errors: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """A projection recomputed from the stored logs: zero rows changed means it was right."""

    projection: str
    rows_changed: int
    seconds_sql: float

"""Whom to ask a second time, and what each of them says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from lightchallenge_dagster.chain.reader import (
    BadAnswer,
    Block,
    ChainMoved,
    ChainReader,
    NotThereYet,
    RangeRefused,
)
from lightchallenge_dagster.chain.rpc import RpcError, RpcUnavailable
from lightchallenge_dagster.rules.events import bloom_of, is_registered
from lightchallenge_dagster.rules.witnesses import Logs
from lightchallenge_dagster.steps.indexing.policy import IndexPolicy
from lightchallenge_dagster.steps.indexing.read import ReadRange, read_range
from lightchallenge_dagster.storage import blocks


class Contradiction(RpcUnavailable):
    """An endpoint's answers about a range cannot all be true; of which block is not known yet."""


class Dispute(Exception):
    """The endpoints differ over ``block`` and nothing shows which is right."""

    def __init__(self, block: int, problem: str) -> None:
        super().__init__(problem)
        self.block = block
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Witnesses:
    """The endpoint in use, and another one when there is one."""

    first: ChainReader
    second: ChainReader | None

    @staticmethod
    def of(reader: ChainReader) -> Witnesses:
        others = reader.rpc.others()
        return Witnesses(reader, None if others is None else ChainReader(others))

    @property
    def all(self) -> list[ChainReader]:
        return [self.first] if self.second is None else [self.first, self.second]

    @property
    def range_blocks(self) -> int:
        """Blocks that all are known to serve at a time."""
        return min(one.rpc.range.blocks for one in self.all)

    def read_again(
        self,
        policy: IndexPolicy,
        addresses: Sequence[str],
        first: int,
        last: int,
        *,
        head: int | None = None,
    ) -> tuple[ReadRange, ChainReader]:
        """The range, and who it is from: the other endpoint unless it cannot be read now.

        Raises as ``read`` does.
        """
        if self.second is not None:
            try:
                found = read(self.second, policy, addresses, first, last, head=head)
                return found, self.second
            except RangeRefused:
                raise
            except (RpcUnavailable, RpcError):
                # Seen in the endpoint's counts. A second reading by the same node is worth less,
                # but it is worth more than none while the other one is away.
                pass
        return read(self.first, policy, addresses, first, last, head=head), self.first


def read(
    reader: ChainReader,
    policy: IndexPolicy,
    addresses: Sequence[str],
    first: int,
    last: int,
    *,
    head: int | None = None,
) -> ReadRange:
    """The range of these contracts; the endpoint's range of blocks learns from it.

    With ``head`` the blocks near it are read by hash. Raises ``RangeRefused``, ``Contradiction``
    for answers that cannot all be true, ``RpcError`` and ``RpcUnavailable`` when the chain cannot
    be read.
    """
    try:
        found = read_range(
            reader,
            policy,
            first,
            last,
            parent=None,
            dense_from=last + 1,
            addresses=addresses,
            head=head,
        )
    except RangeRefused as refused:
        size = reader.rpc.range
        reader.rpc.range = size.refused(refused.suggestion, asked=refused.asked)
        raise
    except NotThereYet:
        raise
    except BadAnswer as error:
        raise Contradiction(f"endpoint {label(reader)}: {error}", kind=error.kind) from error
    reader.rpc.range = reader.rpc.range.accepted(last - first + 1 - found.by_hash)
    return found


def whole_block(
    reader: ChainReader, policy: IndexPolicy, addresses: Sequence[str], number: int, held: str
) -> tuple[Block, Logs, bool]:
    """The header and our logs of the block ``held``, and whether the header's bloom seals them.

    Raises ``BadAnswer`` for an answer that cannot be true.
    """
    header = reader.block(number)
    if header.hash != held:
        raise BadAnswer(f"says that block {number} is {header.hash}")
    whole = reader.block_logs(header)
    bits = int(header.logs_bloom, 16)
    # Some chains fill no blooms: an empty one proves nothing, for or against.
    if bits and bloom_of(whole) != bits:
        raise BadAnswer(f"its logs of block {number} do not make the header's bloom")
    wanted = set(addresses)
    ours = {
        (log.block_number, log.log_index): log
        for log in whole
        if log.address in wanted
        and log.topics
        and is_registered(policy.roles[log.address], log.topics[0])
    }
    return header, ours, bool(bits)


def label(reader: ChainReader) -> str:
    """The endpoint that was asked last."""
    return reader.rpc.endpoint.label


def require_two(one: str, other: str) -> None:
    """Raise unless two labels are of two endpoints: a failover makes one its own witness."""
    if one == other:
        raise RpcUnavailable(
            f"both readings came from endpoint {one}: the other one failed meanwhile, try again"
        )


def require_same_chain(
    engine: Engine, policy: IndexPolicy, witnesses: Witnesses, source: ChainReader, read: ReadRange
) -> None:
    """Raise unless ``source``, whom the range is from, has the next block that we have kept too.

    Few headers are kept of old blocks, and a chain that parted from ours below the next of them
    has nothing to say about what is stored.
    """
    with engine.connect() as connection:
        ours = blocks.header_at_or_above(connection, policy.chain_id, read.last)
    if ours is None or (ours.number, ours.hash) == (read.last, read.end.hash):
        return
    said = read.end.hash if ours.number == read.last else source.block(ours.number).hash
    if said == ours.hash:
        return
    if source is witnesses.first or witnesses.first.block(ours.number).hash != ours.hash:
        raise ChainMoved(f"block {ours.number} is another one by now; the follower undoes it first")
    raise Dispute(
        read.first,
        f"block {ours.number} is {ours.hash} for endpoint {label(witnesses.first)} and"
        f" {said} for endpoint {label(source)}: they follow different chains",
    )

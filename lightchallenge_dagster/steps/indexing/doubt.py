"""Why an answer that looks right is believed: what else has to be true when it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from lightchallenge_dagster.chain.failures import TRUNCATED
from lightchallenge_dagster.chain.reader import (
    BadAnswer,
    Block,
    ChainReader,
    RangeRefused,
    RawLog,
    Truncated,
)
from lightchallenge_dagster.rules.events import bloom_of, topics_for
from lightchallenge_dagster.rules.ranges import is_suspicious

_Kind = tuple[str, str]
"""An address and a first topic."""


def in_parts(reader: ChainReader, block: Block, roles: Mapping[str, str]) -> list[RawLog]:
    """Our logs of one block that a node will not return at once, by the block's hash.

    Contract by contract, and event by event where that is too much still. Raises ``RangeRefused``
    when nothing smaller is left to ask for.
    """
    found: list[RawLog] = []
    for address, role in roles.items():
        try:
            found += reader.logs_of([block], [address])[block.number]
        except RangeRefused as refused:
            if refused.late:
                raise
            for topic in topics_for([role]):
                found += reader.logs_of([block], [address], [topic])[block.number]
    return sorted(found, key=lambda log: log.log_index)


class Doubt:
    """Questions whose answers have to agree with what ``reader`` said of the contracts ``roles``.

    Each raises ``BadAnswer`` when they do not, ``Truncated`` when a smaller range may help.
    """

    def __init__(self, reader: ChainReader, roles: Mapping[str, str]) -> None:
        self._reader = reader
        self._roles = roles

    def compare(self, topics: Sequence[str], first: int, last: int, logs: list[RawLog]) -> int:
        """Read the range in halves when ``logs`` may have been cut off; how many were read again.

        Lists that are cut off end at certain numbers. Halves that end there too are halved on,
        down to a single block, which is compared with its logs by hash.
        """
        if not is_suspicious(len(logs)):
            return 0
        span = f"blocks {first} to {last}"
        if first == last:
            header = self._reader.block(first)
            self._same(header, self._whole([header])[first], logs)
            return 1
        middle = (first + last) // 2
        again: list[RawLog] = []
        compared = 1
        for begin, end in ((first, middle), (middle + 1, last)):
            half = self._reader.logs(list(self._roles), topics, begin, end)
            compared += self.compare(topics, begin, end, half)
            again += half
        if again != logs:
            raise Truncated(
                f"eth_getLogs for {span} returned {len(logs)} logs, for its halves {len(again)}",
                asked=last - first + 1,
            )
        return compared

    def silence(
        self, headers: Mapping[int, Block], logs: Sequence[RawLog], *, dense_from: int, near: int
    ) -> None:
        """Hold ``logs`` against the blooms of ``headers``.

        A bloom never speaks of less than the block's logs. It can speak of logs that are not
        there, so a block whose bloom says more than was returned is read whole, by hash: when
        exactly its logs make the bloom, nothing is missing. From ``near`` on every block with logs
        is read so; between ``dense_from`` and ``near`` those with a kind of log that the bloom
        speaks of and the answer lacks; before, where headers are few, those without any. Some
        chains fill no blooms: an empty one says nothing.
        """
        ours: dict[int, list[RawLog]] = {}
        for log in logs:
            ours.setdefault(log.block_number, []).append(log)
        doubtful: list[Block] = []
        for number, header in headers.items():
            bits = int(header.logs_bloom, 16)
            if not bits:
                continue
            here = ours.get(number, ())
            seen = {(log.address, log.topics[0]) for log in here}
            for kind in seen:
                mask = self._masks[kind]
                if bits & mask != mask:
                    raise BadAnswer(
                        f"eth_getLogs returned a log of {kind[0]} for block {number}, whose bloom"
                        " says that it has none"
                    )
            in_full = bool(here) and number >= near
            by_bloom = not here or number >= dense_from
            if in_full or (by_bloom and self._speaks_of_more(bits, seen)):
                doubtful.append(header)
        if not doubtful:
            return
        whole = self._whole(doubtful)
        by_number = near - min(headers)
        for header in doubtful:
            asked = 1 if header.number >= near else by_number
            self._same(header, whole[header.number], ours.get(header.number, []), asked)

    def _speaks_of_more(self, bloom: int, seen: set[_Kind]) -> bool:
        return not self._spoken_of(bloom) <= seen

    def _spoken_of(self, bloom: int) -> set[_Kind]:
        """The kinds of our logs that a bloom may be made by."""
        return {kind for kind, mask in self._masks.items() if bloom & mask == mask}

    def _whole(self, headers: Sequence[Block]) -> dict[int, list[RawLog]]:
        """Every log of each block; of a block too large for that, those of our contracts."""
        try:
            whole = self._reader.logs_of(headers)
        except RangeRefused as refused:
            if refused.late:
                raise
            if len(headers) == 1:
                return {headers[0].number: self._of_a_full_block(headers[0])}
            half = len(headers) // 2
            return self._whole(headers[:half]) | self._whole(headers[half:])
        for header in headers:
            _require_sealed(header, whole[header.number])
        return whole

    def _of_a_full_block(self, header: Block) -> list[RawLog]:
        """Our logs of a block that the node will not return whole.

        It may be full of strangers' logs, or one that somebody has filled to stop us here, so the
        bloom's word cannot be had for the whole of it. But a refusal may be a passing fault, and so
        may an empty answer: the block is asked for once more, and each kind of log that the bloom
        speaks of and no answer held is asked for by itself.
        """
        try:
            whole = self._reader.logs_of([header])[header.number]
        except RangeRefused as refused:
            if refused.late:
                raise
        else:
            _require_sealed(header, whole)
            return whole
        found = in_parts(self._reader, header, self._roles)
        seen = {(log.address, log.topics[0]) for log in found if log.topics}
        for address, topic in self._spoken_of(int(header.logs_bloom, 16)) - seen:
            if self._reader.logs_of([header], [address], [topic])[header.number]:
                raise BadAnswer(
                    f"the node's logs of {address} in block {header.number} lacked what it returns"
                    " when asked for one event",
                    kind=TRUNCATED,
                )
        return found

    def _same(self, header: Block, whole: list[RawLog], logs: list[RawLog], asked: int = 1) -> None:
        of_ours = [
            log for log in whole if log.topics and (log.address, log.topics[0]) in self._masks
        ]
        if of_ours != logs:
            raise Truncated(
                f"eth_getLogs returned {len(logs)} logs of block {header.number}, which has"
                f" {len(of_ours)} by its hash",
                asked=asked,
            )

    @cached_property
    def _masks(self) -> dict[_Kind, int]:
        """The bits that a log of each kind sets in its block's bloom."""
        return {
            (address, topic): bloom_of([RawLog(0, "", "", 0, 0, address, (topic,), "0x")])
            for address, role in self._roles.items()
            for topic in topics_for([role])
        }


def _require_sealed(header: Block, whole: list[RawLog]) -> None:
    """Raise unless these logs make the header's bloom; an empty one says nothing."""
    bits = int(header.logs_bloom, 16)
    if bits and bloom_of(whole) != bits:
        raise BadAnswer(
            f"the node's logs of block {header.number} do not make its bloom", kind=TRUNCATED
        )

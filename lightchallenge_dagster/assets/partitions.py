"""The three ways this project cuts its tables.

All are dynamic: challenge days lie in the future, where a daily definition has none, and block
ranges and seasons appear as the chain and the web app make them. Sensors add the keys.
"""

from __future__ import annotations

from dagster import DynamicPartitionsDefinition

#: UTC day a challenge ends ("2026-11-21"), plus "unscheduled" for previews and unknown challenges.
CHALLENGE_DAYS = DynamicPartitionsDefinition(name="challenge_day")

#: 100,000 blocks ("000000000-000099999").
BLOCK_RANGES = DynamicPartitionsDefinition(name="block_range")

#: ``seasons.id``.
SEASONS = DynamicPartitionsDefinition(name="season")

BLOCKS_PER_RANGE = 100_000


def block_range_key(block_number: int) -> str:
    """The partition of ``chain_logs`` that holds a block."""
    first = block_number // BLOCKS_PER_RANGE * BLOCKS_PER_RANGE
    return f"{first:09d}-{first + BLOCKS_PER_RANGE - 1:09d}"


def block_range_bounds(key: str) -> tuple[int, int]:
    """First and last block of a ``chain_logs`` partition."""
    first, _, last = key.partition("-")
    return int(first), int(last)


def block_range_keys(from_block: int, to_block: int) -> list[str]:
    """Every partition between two blocks, both included."""
    first = from_block // BLOCKS_PER_RANGE * BLOCKS_PER_RANGE
    return [block_range_key(number) for number in range(first, to_block + 1, BLOCKS_PER_RANGE)]

"""The three ways this project cuts its tables.

All are dynamic: challenge days lie in the future, where a daily definition has none, and block
ranges and seasons appear as the chain and the web app make them. Sensors add the keys.
"""

from __future__ import annotations

from collections.abc import Iterable

from dagster import DagsterInstance, DynamicPartitionsDefinition

#: UTC day a challenge ends ("2026-11-21"), plus "unscheduled" for previews and unknown challenges.
CHALLENGE_DAYS = DynamicPartitionsDefinition(name="challenge_day")

#: 100,000 blocks ("000000000-000099999", see ``rules.ranges``).
BLOCK_RANGES = DynamicPartitionsDefinition(name="block_range")

#: ``seasons.id``.
SEASONS = DynamicPartitionsDefinition(name="season")


def add_keys(
    instance: DagsterInstance, partitions: DynamicPartitionsDefinition, keys: Iterable[str]
) -> None:
    """Make ``keys`` known where they are not; called by ticks before they launch runs for them."""
    name = str(partitions.name)
    new = sorted(set(keys) - set(instance.get_dynamic_partitions(name)))
    if new:
        instance.add_dynamic_partitions(name, new)

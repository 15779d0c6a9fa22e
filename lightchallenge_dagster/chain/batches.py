"""Many reads of one kind at one block, for whoever compares whole tables with the chain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lightchallenge_dagster.chain import abi
from lightchallenge_dagster.chain.contracts import OnChainBinding, OnChainChallenge, OnChainRequest
from lightchallenge_dagster.rules.prompt import is_hash32

if TYPE_CHECKING:
    from lightchallenge_dagster.chain.contracts import Contracts

Pair = tuple[int, str]
"""A challenge and a wallet."""


def challenges(
    contracts: Contracts, challenge_ids: Iterable[int], block: int | str = "latest"
) -> dict[int, OnChainChallenge]:
    """``getChallenge`` of each id; one that was never created is all zeros."""
    ids = sorted(set(challenge_ids))
    view, pay = abi.challengepay("getChallenge"), contracts.addresses.challengepay
    answers = contracts.many([(pay, view, (one,)) for one in ids], block)
    return {one: OnChainChallenge(*values[0]) for one, values in zip(ids, answers, strict=True)}


def winners(contracts: Contracts, pairs: Iterable[Pair], block: int | str = "latest") -> set[Pair]:
    """Those of ``pairs`` that the contract pays as winners."""
    asked = sorted(set(pairs))
    view, pay = abi.challengepay("isWinner"), contracts.addresses.challengepay
    answers = contracts.many([(pay, view, pair) for pair in asked], block)
    return {pair for pair, (won,) in zip(asked, answers, strict=True) if won}


def bindings(
    contracts: Contracts, pairs: Iterable[Pair], block: int | str = "latest"
) -> dict[Pair, OnChainBinding]:
    """The bindings that exist among ``pairs``."""
    asked = sorted(set(pairs))
    view, registry = abi.task_registry("getBinding"), contracts.addresses.task_registry
    answers = contracts.many([(registry, view, pair) for pair in asked], block)
    return {
        pair: OnChainBinding(*values[:-1])
        for pair, values in zip(asked, answers, strict=True)
        if values[-1]
    }


def requests_by_task(
    contracts: Contracts, task_ids: Iterable[str], block: int | str = "latest"
) -> dict[str, tuple[int, OnChainRequest]]:
    """Id and state of the request behind each task.

    A task that nobody knows is left out, and so is what is no hash: other programs' jobs hold it.
    """
    asked = sorted({one for one in task_ids if is_hash32(one)})
    inference = contracts.addresses.aivm_inference
    by_task = abi.aivm_inference("requestIdByTaskId")
    ids = contracts.many([(inference, by_task, (one,)) for one in asked], block)
    known = [(task, number) for task, (number,) in zip(asked, ids, strict=True) if number]
    view = abi.aivm_inference("requests")
    found = contracts.many([(inference, view, (number,)) for _, number in known], block)
    return {
        task: (number, OnChainRequest(*values))
        for (task, number), values in zip(known, found, strict=True)
    }


def metadata_uris(
    contracts: Contracts, registry: str, challenge_ids: Sequence[int], block: int | str = "latest"
) -> dict[int, str]:
    """The URI that MetadataRegistry holds for each challenge, empty where it holds none."""
    view, pay = abi.metadata_registry("uri"), contracts.addresses.challengepay
    answers = contracts.many([(registry, view, (pay, one)) for one in challenge_ids], block)
    return {one: uri for one, (uri,) in zip(challenge_ids, answers, strict=True)}

"""Winners and bindings: who is paid, who could be, and who should be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lightchallenge_dagster.chain.contracts import STATUS_ACTIVE
from lightchallenge_dagster.steps.ops.difference import Difference, rebuild

if TYPE_CHECKING:
    from lightchallenge_dagster.chain.contracts import OnChainBinding, OnChainChallenge
    from lightchallenge_dagster.storage.reconciling import Pair, Picture
    from lightchallenge_dagster.storage.settlement import Bound


@dataclass(frozen=True, slots=True)
class Paid:
    """The chain's side at one block: challenges, those of the asked pairs that won or are bound."""

    challenges: Mapping[int, OnChainChallenge]
    winners: frozenset[Pair]
    bound: Mapping[Pair, OnChainBinding]
    now_ts: int

    def open(self, challenge_id: int) -> bool:
        """Whether a proof can still be submitted."""
        found = self.challenges[challenge_id]
        return found.status == STATUS_ACTIVE and self.now_ts <= found.proof_deadline_ts


def winners(picture: Picture, paid: Paid) -> Iterator[Difference]:
    """Indexed winners and settled ones against ``isWinner``."""
    for pair in sorted(picture.chain_winners - paid.winners):
        yield _of(
            pair, "winner", "indexed as winner", "no winner", "rebuild chain_winners",
            rebuild("chain_winners"),
        )  # fmt: skip
    for pair in sorted(paid.winners - picture.chain_winners):
        yield _of(
            pair, "winner", "not indexed as winner", "a winner",
            "rebuild chain_winners; if it stays, materialize its blocks of chain_logs",
            rebuild("chain_winners"),
        )  # fmt: skip
    for pair in sorted(picture.won - paid.winners):
        on_its_way = paid.open(pair[0])
        why = _missed(pair, paid)
        yield _of(pair, "winner", "a settled winner", "no winner", why, under_way=on_its_way)
    for pair in sorted(paid.winners - picture.won):
        if pair[0] in {challenge_id for challenge_id, _ in picture.won}:
            why = "look at its verdict and ranking: the contract pays a wallet that does not win"
            yield _of(pair, "winner", "no settled winner", "a winner", why)


def bindings(picture: Picture, paid: Paid) -> Iterator[Difference]:
    """Indexed bindings against the registry's, and both against who is to be paid."""
    for pair in sorted(picture.bindings.keys() | paid.bound.keys()):
        row, found = picture.bindings.get(pair), paid.bound.get(pair)
        if not _same(row, found):
            yield _of(
                pair, "binding", _words(row), _words(found), "rebuild bindings", rebuild("bindings")
            )
    for pair in sorted(paid.bound.keys() - picture.won - paid.winners):
        if paid.open(pair[0]):
            why = (
                "settle_winners clears it, unless an earlier worker's verdict is not judged yet or "
                "the rule cannot be read"
            )
            yield _of(pair, "binding", "no settled winner", "bound", why)
    for pair in sorted(picture.won - paid.bound.keys() - paid.winners):
        if paid.open(pair[0]):
            why = "settle_winners binds it once the challenge has a request"
            yield _of(pair, "binding", "a settled winner", "not bound", why, under_way=True)


def _missed(pair: Pair, paid: Paid) -> str:
    if paid.open(pair[0]):
        return "settle_winners proves it once the request is answered"
    if paid.challenges[pair[0]].status == STATUS_ACTIVE:
        return "the admin moves the proof deadline (setVerificationConfig); finalize is held back"
    return "none: the challenge has ended, and its stake is forfeited"


def _same(row: Bound | None, found: OnChainBinding | None) -> bool:
    if row is None or found is None:
        return row is None and found is None
    return (
        row.request_id, row.task_id, row.model_digest, row.params_hash, row.schema_version
    ) == (
        found.request_id, found.task_id, found.model_digest, found.params_hash,
        found.schema_version,
    )  # fmt: skip


def _words(one: Bound | OnChainBinding | None) -> str:
    return "not bound" if one is None else f"bound to request {one.request_id}"


def _of(
    pair: Pair,
    about: Literal["winner", "binding"],
    database: str,
    chain: str,
    repair: str,
    action: str | None = None,
    *,
    under_way: bool = False,
) -> Difference:
    return Difference(about, pair[0], pair[1], database, chain, repair, action, under_way=under_way)

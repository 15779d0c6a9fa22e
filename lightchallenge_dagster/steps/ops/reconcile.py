"""Compare the tables with the chain at one block; report, then repair what is ours to repair.

The block is the checkpoint's: there both sides speak of the same moment. Nothing is ever sent from
here: payments are left to the jobs that make them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from lightchallenge_dagster.chain import batches
from lightchallenge_dagster.errors import PermanentError, TransientError
from lightchallenge_dagster.steps.ops import compare_challenges, compare_payments, compare_work
from lightchallenge_dagster.steps.ops.compare_payments import Paid
from lightchallenge_dagster.steps.ops.difference import HANG_MINUTES
from lightchallenge_dagster.steps.ops.repair import repair as repair_all
from lightchallenge_dagster.storage import chain_time, reconciling
from lightchallenge_dagster.storage.rehearsal import rehearsal

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from lightchallenge_dagster.chain.contracts import Contracts
    from lightchallenge_dagster.rules.reorg import Point
    from lightchallenge_dagster.steps.index import IndexPolicy
    from lightchallenge_dagster.steps.ops.difference import Difference
    from lightchallenge_dagster.storage.reconciling import Picture

_RECEIPTS = 100


@dataclass(frozen=True, slots=True)
class DifferenceLine:
    """A difference as it is shown.

    ``state``: repaired, would be repaired, ours (with ``repair``), left (to whom ``repair`` names),
    under way, it stays (a repair of ours did not help), or new.
    """

    about: str
    challenge_id: int | None
    wallet: str | None
    database: str
    chain: str
    repair: str
    state: str


@dataclass(frozen=True, slots=True)
class ReconcileReport:
    """As of block ``block``. ``repairs`` says what was done, ``left`` counts what is there still.

    ``by_subject`` counts the differences that were found. What is ``under_way`` counts as none.
    """

    block: int
    challenges: int
    differences: int
    left: int
    under_way: int
    by_subject: dict[str, int] = field(default_factory=dict[str, int])
    repairs: list[str] = field(default_factory=list[str])
    lines: list[DifferenceLine] = field(default_factory=list[DifferenceLine])


def reconcile(
    engine: Engine,
    contracts: Contracts,
    policy: IndexPolicy,
    *,
    challenge_ids: Sequence[int] | None = None,
    repair: bool = False,
    dry_run: bool = False,
) -> ReconcileReport:
    """Compare, and with ``repair`` mend what needs no transaction, then compare again.

    ``challenge_ids`` None means all. With ``dry_run`` the repairs are done and taken back. Raises
    ``TransientError`` when a reorg comes in between or the node is behind, ``PermanentError`` while
    nothing is indexed, and for a challenge that is not in the tables.
    """
    with engine.connect() as connection:
        connection.execute(text("set transaction isolation level repeatable read"))
        picture, at, now_ts = _picture(connection, policy, challenge_ids)
    _require_known(picture, challenge_ids or ())
    found = _compare(engine, contracts, policy, picture, at, now_ts)
    count = _late(found)
    report = ReconcileReport(
        block=at.number,
        challenges=len(picture.challenges),
        differences=count,
        left=count,
        under_way=len(found) - count,
        by_subject=_counted(found),
    )
    # What nobody is late with comes last.
    found.sort(key=lambda one: one.under_way)
    if not repair:
        lines = [_line(one, "ours: run with repair" if one.action else "left") for one in found]
        return replace(report, lines=lines)
    with _on(engine, dry_run=dry_run) as target:
        done = repair_all(target, policy, found)
        with target.begin() as connection:
            picture, at, now_ts = _picture(connection, policy, challenge_ids)
        left = _compare(target, contracts, policy, picture, at, now_ts)
    still = {one.identity for one in left}
    known = {one.identity for one in found}
    mended = "would be repaired" if dry_run else "repaired"
    lines = [
        _line(one, ("it stays" if one.action else "left") if one.identity in still else mended)
        for one in found
    ] + [_line(one, "new") for one in left if one.identity not in known]
    return replace(report, left=_late(left), repairs=done, lines=lines)


def _require_known(picture: Picture, challenge_ids: Sequence[int]) -> None:
    known = {one.challenge_id for one in picture.challenges}
    if unknown := sorted(set(challenge_ids) - known):
        raise PermanentError(
            f"challenge_ids {unknown}: there is no such challenge in the tables; "
            "`lightchallenge explain ID` says what is known of it"
        )


@contextmanager
def _on(engine: Engine, *, dry_run: bool) -> Generator[Engine]:
    if not dry_run:
        yield engine
        return
    with rehearsal(engine) as rehearsed:
        yield rehearsed


def _picture(
    connection: Connection, policy: IndexPolicy, challenge_ids: Sequence[int] | None
) -> tuple[Picture, Point, int]:
    at = reconciling.checkpoint(connection, policy.chain_id)
    now_ts = chain_time.confirmed_now(connection, policy.chain_id)
    if at is None or now_ts is None:
        raise PermanentError("nothing is indexed yet: follow_chain comes first")
    picture = reconciling.picture(connection, policy.chain_id, now_ts, challenge_ids, HANG_MINUTES)
    return picture, at, now_ts


def _compare(
    engine: Engine,
    contracts: Contracts,
    policy: IndexPolicy,
    picture: Picture,
    at: Point,
    now_ts: int,
) -> list[Difference]:
    rows = list(picture.challenges)
    block = at.number
    on_chain = batches.challenges(contracts, [one.challenge_id for one in rows], block)
    pairs = picture.won | picture.chain_winners
    with engine.begin() as connection:
        miscounted = [
            one.challenge_id
            for one in rows
            if on_chain[one.challenge_id].winners_count != one.winners
        ]
        pairs |= reconciling.stakers(connection, miscounted)
    requests = batches.requests_by_task(
        contracts, {one.task_id for one in rows if one.task_id}, block
    )
    bound = batches.bindings(contracts, picture.bindings.keys() | picture.won, block)
    winners = frozenset(batches.winners(contracts, pairs, block))
    paid = Paid(on_chain, winners, bound, now_ts)
    receipts = _receipts(contracts, [one.hash for one in picture.final])
    _require_block(contracts, at)
    return [
        *compare_challenges.challenges(rows, on_chain),
        *compare_payments.winners(picture, paid),
        *compare_payments.bindings(picture, paid),
        *compare_work.jobs(picture, requests, now_ts),
        *_noted(contracts, picture, on_chain, requests),
        *compare_work.claims(picture),
        *compare_work.intents(picture.final, receipts),
    ]


def _noted(
    contracts: Contracts, picture: Picture, on_chain: Any, requests: Any
) -> Iterator[Difference]:
    """What our steps have noted of mined transactions is ahead of the checkpoint.

    So only what neither the checkpoint's block nor the newest one bears out is a difference.
    """
    rows = list(picture.challenges)
    found = [
        *compare_challenges.flags(rows, on_chain),
        *compare_work.progress(rows, requests),
    ]
    if not found:
        return
    doubtful = {one.challenge_id for one in found}
    rows = [one for one in rows if one.challenge_id in doubtful]
    head = int(contracts.rpc.call("eth_blockNumber", []), 16)
    now = batches.challenges(contracts, [one.challenge_id for one in rows], head)
    tasks = {one.task_id for one in rows if one.task_id}
    later = batches.requests_by_task(contracts, tasks, head)
    newest = [
        *compare_challenges.flags(rows, now),
        *compare_work.progress(rows, later),
    ]
    known = {one.identity for one in found}
    yield from (one for one in newest if one.identity in known)


def _receipts(contracts: Contracts, hashes: Sequence[str]) -> dict[str, str]:
    """Block hash of each transaction that the node has a receipt of."""
    found: dict[str, str] = {}
    for start in range(0, len(hashes), _RECEIPTS):
        part = hashes[start : start + _RECEIPTS]
        answers = contracts.rpc.batch([("eth_getTransactionReceipt", [one]) for one in part])
        for one, answer in zip(part, answers, strict=True):
            if answer is not None:
                found[one] = str(answer["blockHash"]).lower()
    return found


def _require_block(contracts: Contracts, at: Point) -> None:
    block = contracts.rpc.call("eth_getBlockByNumber", [hex(at.number), False])
    if block is None or str(block["hash"]).lower() != at.hash:
        raise TransientError(
            f"the node's block {at.number} is not the checkpoint's: a reorg is under way, or the "
            "node is behind; nothing was compared"
        )


def _late(found: Sequence[Difference]) -> int:
    return sum(not one.under_way for one in found)


def _counted(found: Sequence[Difference]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in found:
        if not one.under_way:
            counts[one.about] = counts.get(one.about, 0) + 1
    return counts


def _line(one: Difference, state: str) -> DifferenceLine:
    return DifferenceLine(
        one.about,
        one.challenge_id,
        one.wallet,
        one.database,
        one.chain,
        one.repair,
        "under way" if one.under_way else state,
    )

"""What became of bindings, proofs and finalizations, in the documented keys of the challenge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from lightchallenge_dagster.storage import proof_fields, settlement

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightchallenge_dagster.chain.contracts import Contracts
    from lightchallenge_dagster.steps.settling.run import Run


def record_transactions(engine: Engine, contracts: Contracts) -> int:
    """Make ``challenges.proof`` say what is on chain of ours; returns the rows changed.

    Also after runs that died, and after a reorg that took a transaction out: a hash is of a mined
    transaction or null, ``proofsSubmitted`` is how many winners the contract counts, and
    ``finalizationSuccess`` is taken back with its transaction. Call it after ``Outbox.resume``.
    """
    with engine.begin() as connection:
        untold = settlement.untold(connection)
        indexed = settlement.chain_winners(connection, [one.challenge_id for one in untold])
    if not untold:
        return 0
    counted = Counter(challenge_id for challenge_id, _ in indexed)
    proofs: dict[int, int] = {}
    for one in untold:
        if one.proofs:
            # The index is some blocks behind, and so may the node be.
            told = contracts.get_challenge(one.challenge_id).winners_count
            proofs[one.challenge_id] = max(told, counted[one.challenge_id])
    with engine.begin() as connection:
        # Read anew, and by one run at a time: another may have seen a transaction mined meanwhile,
        # and what was read before that would take its word back.
        settlement.lock_telling(connection)
        return sum(
            proof_fields.merge(connection, one.challenge_id, _patch(one, proofs))
            for one in settlement.untold(connection)
        )


def _patch(one: settlement.Untold, proofs: Mapping[int, int]) -> dict[str, object]:
    if one.proofs and one.challenge_id in proofs:
        return {**one.patch, "proofsSubmitted": proofs[one.challenge_id]}
    return dict(one.patch)


def note(run: Run, keys: Iterable[str]) -> None:
    """Write down what became of the mined intents ``keys``, and tell who watches."""
    mined = list(keys)
    if not mined:
        return
    record_transactions(run.engine, run.contracts)
    for key in mined:
        run.outbox.reached("noted", key)

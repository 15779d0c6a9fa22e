"""Health: is what the tables say true, and is the pipeline keeping up?

A check finds violations. None is health; each one found is a row a person can act on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from lightchallenge_dagster.errors import TransientError
from lightchallenge_dagster.rules.amounts import lcai
from lightchallenge_dagster.rules.nonces import holes
from lightchallenge_dagster.storage import chain_time, checkpoints, endpoints, sql

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightchallenge_dagster.chain.contracts import Contracts
    from lightchallenge_dagster.chain.reader import ChainReader
    from lightchallenge_dagster.chain.rpc import Rpc
    from lightchallenge_dagster.steps.indexing.policy import IndexPolicy
    from lightchallenge_dagster.storage.endpoints import EndpointRow

#: Runbook, section 20: beyond the confirmations, more than 100 blocks behind is lagging.
LAG_LIMIT_BLOCKS = 100
#: Runbook, section 20: about 100 finalize transactions.
LOW_BALANCE_WEI = 10**17

#: Of what requests may cost a day, so much may be spent before it is told.
SPEND_SHARE = 0.8
#: Minutes after which one of our nonces that the chain has passed by is no mere delay.
PASSED_BY_MINUTES = 5.0

#: Blocks that may wait for their second reading: a quarter of an hour of this chain.
UNVERIFIED_LIMIT_BLOCKS = 1000
#: So many failures in a row, and an endpoint is not merely unlucky.
FAILING_AFTER = 3

SHOWN = 20


@dataclass(frozen=True, slots=True)
class Findings:
    """The violations of one check: ``count`` of them, the first ``SHOWN`` as rows.

    ``blind``: it could not look, and the row says why; how to recover from a violation is no help.
    """

    columns: Sequence[str] = ()
    rows: Sequence[tuple[Any, ...]] = ()
    count: int = 0
    facts: Mapping[str, int | float | str] = field(default_factory=dict[str, int | float | str])
    blind: bool = False

    @property
    def healthy(self) -> bool:
        """True when nothing was found."""
        return self.count == 0


def violations(engine: Engine, name: str, **values: Any) -> Findings:
    """The rows of ``sql/checks/<name>.sql``, each a violation; ``values`` are its parameters."""
    with engine.connect() as connection:
        result = connection.execute(text(sql.load(f"checks/{name}")), values)
        columns = list(result.keys())
        rows = [tuple(row) for row in result]
    return Findings(columns, rows[:SHOWN], len(rows))


def indexer_lag(engine: Engine, reader: ChainReader, chain_id: int, confirmations: int) -> Findings:
    """How far the checkpoint is behind the head. A node that does not answer is a violation."""
    with engine.connect() as connection:
        checkpoint = connection.execute(
            text(
                "select block_number from pipeline.checkpoints"
                " where chain_id = :chain_id and stream = 'live'"
            ),
            {"chain_id": chain_id},
        ).scalar_one_or_none()
    try:
        head = reader.head().number
    except TransientError as error:
        return Findings(["problem"], [(str(error),)], 1)
    if checkpoint is None:
        return Findings(["problem", "head"], [("nothing indexed yet", head)], 1)
    lag = head - checkpoint
    facts = {"head": head, "checkpoint": checkpoint, "lag_blocks": lag}
    if lag <= LAG_LIMIT_BLOCKS + confirmations:
        return Findings(facts=facts)
    return Findings(["head", "checkpoint", "lag_blocks"], [(head, checkpoint, lag)], 1, facts)


def verification_lag(engine: Engine, policy: IndexPolicy, behind: int) -> Findings:
    """Streams whose watermark is far below ``behind`` blocks under the checkpoint."""
    from lightchallenge_dagster.steps import verify

    with engine.connect() as connection:
        held = checkpoints.standing(connection, policy.chain_id)
    if held is None:
        return Findings()
    goal = held.number - behind
    read = {stream.key: stream.block_number for stream in verify.watermarks(engine, policy)}
    lags = [
        (key.role, key.address, at, goal - at)
        for key in verify.stream_keys(policy)
        for at in [read.get(key, held.first_block - 1)]
    ]
    late = [row for row in lags if row[3] > UNVERIFIED_LIMIT_BLOCKS]
    facts = {"unverified_blocks": max(0, *(row[3] for row in lags))}
    columns = ["contract", "address", "verified_block", "blocks_behind"]
    return Findings(columns, late[:SHOWN], len(late), facts)


def endpoints_down(engine: Engine, chain_id: int, rpc: Rpc, *, every: bool) -> Findings:
    """Endpoints of LCAI_RPC that have just failed several times in a row.

    With ``every`` they are violations only when no other one answers. Told by what the sensors and
    runs have noted of each call, so looking asks no node.
    """
    with engine.connect() as connection:
        known = {row.label: row for row in endpoints.rows(connection, chain_id)}
    labels = [one.label for one in rpc.endpoints]
    failing = [
        (row.label, row.failures_in_a_row, row.last_error, row.last_error_at)
        for row in map(known.get, labels)
        if row is not None and row.failures_in_a_row >= FAILING_AFTER and not _answered_since(row)
    ]
    facts = {"endpoints": len(labels), "failing": len(failing)}
    if every and len(failing) < len(labels):
        return Findings(facts=facts)
    columns = ["endpoint", "failures_in_a_row", "last_error", "last_error_at"]
    return Findings(columns, failing[:SHOWN], len(failing), facts)


def _answered_since(row: EndpointRow) -> bool:
    if row.last_answer_at is None or row.last_error_at is None:
        return row.last_error_at is None
    return row.last_answer_at > row.last_error_at


def missing_fields(engine: Engine) -> Findings:
    """Fields that keep a challenge with a winner from being requested."""
    from lightchallenge_dagster.steps import dispatch

    missing = [
        (one.challenge_id, one.field) for one in dispatch.missing_fields(engine) if one.blocking
    ]
    return Findings(["challenge_id", "field"], missing[:SHOWN], len(missing))


def standings_not_conserved(engine: Engine) -> Findings:
    """Seasons whose standings are not what their results give.

    A season whose results have changed since it was computed is the standings sensor's work and no
    violation; how many there are is told.
    """
    from lightchallenge_dagster.steps import standings

    waiting = standings.pending(engine)
    found = violations(engine, "standings_conserved", waiting=waiting)
    if not found.healthy:
        # What came in between the two looks is no violation either.
        waiting = sorted({*waiting, *standings.pending(engine)})
        found = violations(engine, "standings_conserved", waiting=waiting)
    return replace(found, facts={"seasons_waiting": len(waiting)})


def finalize_held_back(engine: Engine, chain_id: int) -> Findings:
    """Challenges past both deadlines that are not finalized for the sake of a winner."""
    from lightchallenge_dagster.steps import finalize

    with engine.connect() as connection:
        now = chain_time.confirmed_now(connection, chain_id)
    held = [] if now is None else finalize.held_back(engine, now)
    rows = [(one.challenge_id, one.reason, ", ".join(one.missing)) for one in held]
    return Findings(["challenge_id", "reason", "missing_on_chain"], rows[:SHOWN], len(rows))


def wallet_balances(rpc: Rpc, wallets: Mapping[str, str]) -> Findings:
    """Wallets (role to address) below ``LOW_BALANCE_WEI``; no answer is a violation too."""
    balances: dict[str, int] = {}
    try:
        for role, address in wallets.items():
            balances[role] = int(rpc.call("eth_getBalance", [address, "latest"]), 16)
    except TransientError as error:
        return Findings(["problem"], [(str(error),)], 1, blind=True)
    low = [
        (role, wallets[role], balance)
        for role, balance in balances.items()
        if balance < LOW_BALANCE_WEI
    ]
    facts = {f"{role}_wei": str(balance) for role, balance in balances.items()}
    return Findings(["role", "wallet", "balance_wei"], low, len(low), facts)


def dispatcher_roles(contracts: Contracts, *, worker: str, finalizer: str) -> Findings:
    """Roles that are missing: the registry's for the worker, ChallengePay's for the other."""
    missing: list[tuple[str, str, str]] = []
    try:
        if not contracts.may_record_bindings(worker):
            missing.append(("worker", worker, "ChallengeTaskRegistry dispatcher"))
        if not contracts.may_submit_proofs(finalizer):
            missing.append(("finalizer", finalizer, "ChallengePay dispatcher"))
    except TransientError as error:
        return Findings(["problem"], [(str(error),)], 1, blind=True)
    return Findings(["wallet", "address", "lacks"], missing, len(missing))


def nonce_gaps(engine: Engine, chain_id: int, rpc: Rpc) -> Findings:
    """Nonces that keep our transactions waiting, and ours that other transactions have used.

    A hole is a nonce that the chain waits for and nobody we know holds, below one of ours. No
    answer is a violation too.
    """
    from lightchallenge_dagster.storage import nonces

    rows: list[tuple[str, int, str, int, int]] = []
    with engine.connect() as connection:
        flying = nonces.in_flight(connection, chain_id)
        try:
            for wallet, ours in flying.items():
                mined = int(rpc.call("eth_getTransactionCount", [wallet, "latest"]), 16)
                held = nonces.held(connection, chain_id, wallet, mined)
                top = max(held, default=mined)
                rows += [
                    (wallet, hole, "nobody holds it", mined, sum(n > hole for n in held))
                    for hole in holes(mined, held)
                ]
                rows += [
                    (wallet, nonce, "used by another transaction", mined, top - mined + 1)
                    for nonce, minutes in sorted(ours.items())
                    if nonce < mined and minutes > PASSED_BY_MINUTES
                ]
        except TransientError as error:
            return Findings(["problem"], [(str(error),)], 1, blind=True)
    columns = ["wallet", "nonce", "problem", "next_mined_nonce", "transactions_waiting"]
    return Findings(columns, rows[:SHOWN], len(rows), {"wallets_in_flight": len(flying)})


def request_spend(
    engine: Engine, chain_id: int, *, limit_wei: int, fee_wei: int, max_value_wei: int
) -> Findings:
    """What requests cost in the last 24 hours, where it comes near ``limit_wei``; what it holds.

    Also a fee that no transaction may carry. Amounts in wei.
    """
    from lightchallenge_dagster.storage import sending

    with engine.connect() as connection:
        spent = sending.request_spend(connection, chain_id)
        result = connection.execute(
            text(sql.load("checks/requests_held")), {"chain_id": chain_id, "like": "%wei a day"}
        )
        held = [tuple(row) for row in result]
    facts: dict[str, int | float | str] = {
        "spent_24h": lcai(spent),
        "limit": lcai(limit_wei),
        "percent": round(100 * spent / limit_wei, 1) if limit_wei else 100.0,
        "held_back": len(held),
    }
    rows = [(f"challenge {one}", why, since) for one, why, since in held]
    if spent >= SPEND_SHARE * limit_wei:
        rows.insert(0, ("all requests", f"{lcai(spent)} of {lcai(limit_wei)} are spent", None))
    if fee_wei > max_value_wei:
        why = f"a fee of {lcai(fee_wei)} is more than {lcai(max_value_wei)} for one transaction"
        rows.insert(0, ("all requests", why, None))
    return Findings(["held_back", "reason", "since"], rows[:SHOWN], len(rows), facts)

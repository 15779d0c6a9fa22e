"""Where coins move: requests, bindings and proofs, finalize.

Jobs, not assets: nobody may trigger a payment by materializing something. Dagster retries nothing
here; the outbox is the retry, and every effect happens at most once however often a job runs.
"""

# Dagster's own decorators are typed in part only.
# pyright: reportUnknownVariableType=false

from dagster import OpExecutionContext, job, op

from lightchallenge_dagster.assets.metadata import REASON, markdown_table
from lightchallenge_dagster.jobs.sending import MoneyConfig, sending
from lightchallenge_dagster.resources.chain import ChainResource
from lightchallenge_dagster.resources.database import DatabaseResource
from lightchallenge_dagster.resources.policy import Policy
from lightchallenge_dagster.resources.signers import SignersResource

REQUEST_LEASE = "money:request"
SETTLE_LEASE = "money:settle"
FINALIZE_LEASE = "money:finalize"

#: The kinds of intents that the jobs send.
REQUESTS = ("request", "reclaim")
SETTLEMENTS = ("bind", "clear", "proof")


@op
def dispatch_and_request(
    context: OpExecutionContext,
    config: MoneyConfig,
    database: DatabaseResource,
    chain: ChainResource,
    signers: SignersResource,
    policy: Policy,
) -> None:
    """Give up requests that ran out of time, queue what may be requested, submit the queue."""
    from lightchallenge_dagster.steps import dispatch, reclaim, request

    wallets = [signers.worker(), signers.finalizer()]
    with sending(
        context, database, chain, policy, wallets, REQUEST_LEASE, REQUESTS, dry_run=config.dry_run
    ) as at:
        contracts = chain.contracts()
        lost = reclaim.reclaim(at.engine, contracts, at.outbox, max_attempts=policy.max_attempts)
        queued = dispatch.dispatch(at.engine, chain.now_ts())
        requested = request.request_inferences(
            at.engine, contracts, at.outbox, policy.requests(signers.worker().address)
        )
        at.report(lost, queued, requested)


@op
def bind_and_prove(
    context: OpExecutionContext,
    config: MoneyConfig,
    database: DatabaseResource,
    chain: ChainResource,
    signers: SignersResource,
    policy: Policy,
) -> None:
    """Bind settled winners, clear bindings of others, submit the proofs that can be submitted."""
    from lightchallenge_dagster.steps import settle

    wallets = [signers.worker(), signers.finalizer()]
    with sending(
        context, database, chain, policy, wallets, SETTLE_LEASE, SETTLEMENTS, dry_run=config.dry_run
    ) as at:
        settled = settle.settle(
            at.engine,
            chain.contracts(),
            at.outbox,
            chain.now_ts(),
            settle.SettlePolicy(
                binder=signers.worker().address, prover=signers.finalizer().address
            ),
        )
        at.report(settled)


@op
def finalize_overdue(
    context: OpExecutionContext,
    config: MoneyConfig,
    database: DatabaseResource,
    chain: ChainResource,
    signers: SignersResource,
    policy: Policy,
) -> None:
    """Finalize every challenge past both deadlines whose winners are on chain."""
    from lightchallenge_dagster.steps import finalize

    wallets = [signers.worker(), signers.finalizer()]
    with sending(
        context, database, chain, policy, wallets, FINALIZE_LEASE, ["finalize"],
        dry_run=config.dry_run,
    ) as at:  # fmt: skip
        now = chain.now_ts()
        finalized = finalize.finalize(
            at.engine,
            chain.contracts(),
            at.outbox,
            now,
            finalize.FinalizePolicy(
                finalizer=signers.finalizer().address,
                despite_missing_winners=policy.finalize_despite_missing_winners,
            ),
        )
        held = [
            (one.challenge_id, one.reason, one.missing)
            for one in (finalize.held_back(at.engine, now) if finalized.held_back else ())
        ]
        columns = ("challenge", "reason", "winners missing on chain")
        at.report(
            finalized, **({"why_held_back": markdown_table(columns, held, REASON)} if held else {})
        )


@job(description="Dispatch challenges, submit their AIVM requests, take back fees of lost ones.")
def request_inferences() -> None:
    """Launched by ``request_sensor``."""
    dispatch_and_request()


@job(description="Record the winners' bindings and submit their proofs.")
def settle_winners() -> None:
    """Launched by ``settlement_sensor``."""
    bind_and_prove()


@job(description="Finalize challenges past both deadlines.")
def finalize_challenges() -> None:
    """Launched by ``finalization_sensor``."""
    finalize_overdue()

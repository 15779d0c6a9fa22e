"""Where coins move: requests, bindings and proofs, finalize.

Jobs, not assets: nobody may trigger a payment by materializing something. Dagster retries nothing
here; the outbox is the retry, and every effect happens at most once however often a job runs.
"""

# Dagster's own decorators are typed in part only.
# pyright: reportUnknownVariableType=false

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dagster import OpExecutionContext, job, op

from lightchallenge_dagster.assets.catalog import TABLES
from lightchallenge_dagster.assets.metadata import materialization, report_metadata, table_metadata
from lightchallenge_dagster.jobs import lease
from lightchallenge_dagster.resources.chain import ChainResource
from lightchallenge_dagster.resources.database import DatabaseResource
from lightchallenge_dagster.resources.policy import Policy
from lightchallenge_dagster.resources.signers import SignersResource

if TYPE_CHECKING:
    from lightchallenge_dagster.steps.outbox import Outbox

REQUEST_LEASE = "money:request"
SETTLE_LEASE = "money:settle"
FINALIZE_LEASE = "money:finalize"


@op
def dispatch_and_request(
    context: OpExecutionContext,
    database: DatabaseResource,
    chain: ChainResource,
    signers: SignersResource,
    policy: Policy,
) -> None:
    """Queue the challenges whose gate is open, then submit the queue."""
    from lightchallenge_dagster.steps import dispatch, request

    engine = database.engine()
    with _sending(context, database, chain, signers, policy, REQUEST_LEASE) as outbox:
        queued = dispatch.dispatch(engine, chain.now_ts())
        requested = request.request_inferences(
            engine, chain.contracts(), outbox, policy.requests(signers.worker().address)
        )
    _report(context, database, queued, requested)


@op
def bind_and_prove(
    context: OpExecutionContext,
    database: DatabaseResource,
    chain: ChainResource,
    signers: SignersResource,
    policy: Policy,
) -> None:
    """Bind settled winners, clear bindings of others, submit the proofs that can be submitted."""
    from lightchallenge_dagster.steps import settle

    with _sending(context, database, chain, signers, policy, SETTLE_LEASE) as outbox:
        settled = settle.settle(
            database.engine(),
            chain.contracts(),
            outbox,
            chain.now_ts(),
            settle.SettlePolicy(
                binder=signers.worker().address, prover=signers.finalizer().address
            ),
        )
    _report(context, database, settled)


@op
def finalize_overdue(
    context: OpExecutionContext,
    database: DatabaseResource,
    chain: ChainResource,
    signers: SignersResource,
    policy: Policy,
) -> None:
    """Finalize every challenge past both deadlines whose winners are on chain."""
    from lightchallenge_dagster.steps import finalize

    with _sending(context, database, chain, signers, policy, FINALIZE_LEASE) as outbox:
        finalized = finalize.finalize(
            database.engine(),
            chain.contracts(),
            outbox,
            chain.now_ts(),
            finalize.FinalizePolicy(
                finalizer=signers.finalizer().address,
                despite_missing_winners=policy.finalize_despite_missing_winners,
            ),
        )
    _report(context, database, finalized)


@contextmanager
def _sending(
    context: OpExecutionContext,
    database: DatabaseResource,
    chain: ChainResource,
    signers: SignersResource,
    policy: Policy,
    lease_name: str,
) -> Generator["Outbox"]:
    """The outbox with both wallets, under the job's lease."""
    from lightchallenge_dagster.steps.outbox import Outbox

    engine = database.engine()
    with lease.held(engine, lease_name, context.run_id, context.run_tags) as heartbeat:
        yield Outbox(
            engine,
            chain.rpc(),
            [signers.worker(), signers.finalizer()],
            policy.outbox(chain.chain_id, chain.confirmation_blocks),
            observe=lambda _boundary, _key: heartbeat(),
        )


def _report(context: OpExecutionContext, database: DatabaseResource, *reports: Any) -> None:
    metadata: dict[str, Any] = {}
    for report in reports:
        metadata |= report_metadata(report)
        for trouble in ("errors", "refused", "held"):
            for message in getattr(report, trouble, ()):
                context.log.warning("%s: %s", trouble, message)
    context.add_output_metadata(metadata)
    for key in ("aivm_jobs", "transactions"):
        context.log_event(materialization(key, table_metadata(database.engine(), TABLES[key])))


@job(description="Dispatch challenges and submit their AIVM requests.")
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

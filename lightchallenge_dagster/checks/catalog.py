"""Every health check, one entry each: what must hold, and what to do when it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagster import AssetCheckSeverity

from lightchallenge_dagster.steps import health

if TYPE_CHECKING:
    from lightchallenge_dagster.resources.chain import ChainResource
    from lightchallenge_dagster.resources.database import DatabaseResource
    from lightchallenge_dagster.resources.policy import Policy
    from lightchallenge_dagster.resources.signers import SignersResource
    from lightchallenge_dagster.steps.health import Findings

ERROR = AssetCheckSeverity.ERROR
WARN = AssetCheckSeverity.WARN


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a check may look at."""

    database: DatabaseResource
    chain: ChainResource
    signers: SignersResource
    policy: Policy


@dataclass(frozen=True, slots=True)
class Check:
    """One check on one asset. ``recovery`` is the text the operator needs when it is red.

    ``paced``: it reads whole tables, so the slower it gets the more rarely the sensor evaluates it.
    """

    name: str
    asset: str
    severity: AssetCheckSeverity
    description: str
    recovery: str
    find: Callable[[Surroundings], Findings]
    paced: bool = False


def _rows(
    name: str, asset: str, severity: AssetCheckSeverity, description: str, recovery: str
) -> Check:
    """A check whose violations are the rows of ``sql/checks/<name>.sql``."""
    return Check(
        name,
        asset,
        severity,
        description,
        recovery,
        lambda around: health.violations(around.database.engine(), name),
        paced=True,
    )


def _lag(around: Surroundings) -> Findings:
    chain = around.chain
    return health.indexer_lag(
        around.database.engine(), chain.reader(), chain.chain_id, chain.confirmation_blocks
    )


def _unverified(around: Surroundings) -> Findings:
    chain = around.chain
    return health.verification_lag(
        around.database.engine(), chain.index_policy(), chain.verify_behind_blocks
    )


def _endpoints(around: Surroundings, *, every: bool) -> Findings:
    chain = around.chain
    return health.endpoints_down(around.database.engine(), chain.chain_id, chain.rpc(), every=every)


def _balances(around: Surroundings) -> Findings:
    return health.wallet_balances(around.chain.rpc(), around.signers.wallets())


def _roles(around: Surroundings) -> Findings:
    wallets = around.signers.wallets()
    return health.dispatcher_roles(
        around.chain.contracts(), worker=wallets["worker"], finalizer=wallets["finalizer"]
    )


def _gaps(around: Surroundings) -> Findings:
    chain = around.chain
    return health.nonce_gaps(around.database.engine(), chain.chain_id, chain.rpc())


def _spend(around: Surroundings) -> Findings:
    policy = around.policy
    return health.request_spend(
        around.database.engine(),
        around.chain.chain_id,
        limit_wei=policy.max_request_spend_per_day_wei,
        fee_wei=policy.request_fee_wei,
        max_value_wei=policy.max_transaction_value_wei,
    )


CHECKS: list[Check] = [
    Check(
        "indexer_lag",
        "chain_logs",
        ERROR,
        "The checkpoint keeps up with the chain's head.",
        "Look at block_sensor's ticks and the last follow_chain run; check LCAI_RPC.",
        _lag,
    ),
    _rows(
        "indexer_stopped",
        "chain_logs",
        ERROR,
        "No reorg has stopped the indexer.",
        "Nothing was undone. If the nodes of LCAI_RPC are on the right chain, run set_checkpoint "
        "with a block below the fork: what hangs above is undone and read again.",
    ),
    Check(
        "endpoints_answer",
        "chain_logs",
        ERROR,
        "At least one endpoint of LCAI_RPC answers.",
        "Nothing is lost and the checkpoint stays. Mend or replace the endpoints in LCAI_RPC.",
        lambda around: _endpoints(around, every=True),
    ),
    Check(
        "endpoints_sound",
        "chain_logs",
        WARN,
        "No endpoint of LCAI_RPC fails time after time.",
        "Work goes on with the others. Mend it, or take it out of LCAI_RPC.",
        lambda around: _endpoints(around, every=False),
    ),
    Check(
        "verification_keeps_up",
        "chain_logs",
        WARN,
        "Indexed blocks are soon read a second time.",
        "Look at verification_sensor's ticks and the last verify_chain run. After a first start, "
        "or for a contract that is new in the settings, it is catching up.",
        _unverified,
    ),
    _rows(
        "blocks_undisputed",
        "chain_logs",
        ERROR,
        "The endpoints show the same logs for every block that was read twice.",
        "Nothing was changed. Compare the block named below with an explorer, and take the "
        "endpoint that lies out of LCAI_RPC.",
    ),
    _rows(
        "logs_complete",
        "chain_logs",
        WARN,
        "The first reading missed and invented no log, in the last day.",
        "The logs below were repaired, and the tables with them. An endpoint that leaves logs out "
        "belongs out of LCAI_RPC.",
    ),
    _rows(
        "events_decoded",
        "chain_logs",
        WARN,
        "Every stored event could be decoded, and the contract told what it does not carry.",
        "The log is kept raw. Add or mend its entry in rules/events.py, then rebuild the tables. "
        "Where something 'was not read', run verify_chain: it asks the contract again.",
    ),
    _rows(
        "logs_match_blocks",
        "chain_logs",
        ERROR,
        "Every stored log hangs on the stored block of its height.",
        "Materialize the block range's partition of chain_logs to read it again.",
    ),
    _rows(
        "status_follows_chain",
        "challenges",
        ERROR,
        "Status and outcome in the web app's table are the chain's.",
        "Materialize challenges to rebuild the table from the stored logs.",
    ),
    _rows(
        "rules_readable",
        "challenges",
        WARN,
        "The rule of every open challenge can be read.",
        "Correct params or proof of the challenge where the problem says; it is judged again. "
        "Until then nobody is bound or proved for it, its ranking does not close, and finalize "
        "waits.",
    ),
    _rows(
        "finalized_has_outcome",
        "chain_challenges",
        ERROR,
        "Finalized challenges have an outcome, others have none.",
        "Materialize chain_challenges to rebuild the table from the stored logs.",
    ),
    Check(
        "finalize_held_back",
        "chain_challenges",
        ERROR,
        "No challenge past its deadlines is held back from finalization for the sake of a winner.",
        "Finalizing now would forfeit a winner's stake. Have the admin move the proof deadline "
        "(setVerificationConfig) and run settle_winners, or judge and rank what the reason names. "
        "FINALIZE_DESPITE_MISSING_WINNERS=1 gives up on every challenge below, all at once.",
        lambda around: health.finalize_held_back(around.database.engine(), around.chain.chain_id),
        paced=True,
    ),
    _rows(
        "stakers_are_participants",
        "participants",
        ERROR,
        "Everyone with a stake is a participant with source onchain_join.",
        "Materialize participants to rebuild the table from the stored logs.",
    ),
    _rows(
        "stakes_match_events",
        "stakes",
        ERROR,
        "Stakes equal the join events and creators' stakes, wei for wei.",
        "Materialize stakes to rebuild the table from the stored logs.",
    ),
    _rows(
        "claims_match_events",
        "claims",
        ERROR,
        "Claims equal the claim events, wei for wei.",
        "Materialize claims to rebuild the table from the stored logs.",
    ),
    _rows(
        "winners_have_verdicts",
        "chain_winners",
        ERROR,
        "Nobody is a winner on chain who is none by ranking or verdict.",
        "Coins may go to the wrong wallet: pause the challenge, then compare verdicts, bindings "
        "and ParticipantProofSubmitted of the wallet.",
    ),
    _rows(
        "winners_missing_on_chain",
        "chain_winners",
        ERROR,
        "Every settled winner is marked on chain an hour before the proof deadline, or after it.",
        "Run settle_winners now. After the deadline only the admin's setVerificationConfig can "
        "reopen the window; finalize is held back meanwhile. Of a Finalized challenge the winner "
        "is lost: shown for a week, so that somebody tells the player.",
    ),
    _rows(
        "requests_progress",
        "inference_requests",
        WARN,
        "The network finalizes our requests before their deadlines.",
        "The request can no longer finalize: request_inferences takes its fee back and asks anew. "
        "Where it stays, look at request_sensor's ticks and AIVM_INFERENCE_V2_ADDRESS.",
    ),
    _rows(
        "requests_dead",
        "inference_requests",
        WARN,
        "The fee of every request that ran out of time is back.",
        "request_inferences takes it back by itself, in three attempts at most; what stands in its "
        "way is below. After the third look at why it reverted, and call cancelExpired, "
        "timeoutReveal or reclaimAfterFinalizeTimeout from that wallet. A fee that the network's "
        "worker earned with another answer is gone: look at the model.",
    ),
    _rows(
        "bindings_are_winners",
        "bindings",
        ERROR,
        "Only winners are bound: a binding is a payment order.",
        "Run settle_winners: it clears bindings of wallets that do not win.",
    ),
    _rows(
        "mints_match_events",
        "achievement_mints",
        ERROR,
        "Every mint event has its row.",
        "Materialize achievement_mints to rebuild the table from the stored logs.",
    ),
    _rows(
        "jobs_stuck",
        "aivm_jobs",
        ERROR,
        "No open job has been still for over an hour.",
        "Read last_error; check the worker's balance and whether the network runs. A dry run of "
        "request_inferences says what each waits for; run_aivm_job brings one forward.",
    ),
    _rows(
        "jobs_dead",
        "aivm_jobs",
        ERROR,
        "No job has used up its attempts.",
        "Mend what last_error names, then run run_aivm_job with its challenge_id and again: true.",
    ),
    Check(
        "dispatch_fields",
        "aivm_jobs",
        WARN,
        "Open challenges with winners have every field an AIVM request needs.",
        "Complete the named fields of the challenge row; it is dispatched by itself.",
        lambda around: health.missing_fields(around.database.engine()),
    ),
    Check(
        "wallet_balances",
        "transactions",
        ERROR,
        "The signing wallets hold at least 0.1 LCAI.",
        "Send LCAI to the wallet named below; waiting work goes on by itself. How much it needs: "
        "intents_waiting, or a dry run.",
        _balances,
    ),
    Check(
        "dispatcher_roles",
        "transactions",
        ERROR,
        "The signing wallets hold the dispatcher roles they need.",
        "The admin calls setDispatcher(wallet, true) on the contract named below.",
        _roles,
    ),
    Check(
        "nonce_gaps",
        "transactions",
        ERROR,
        "No nonce that nobody holds keeps our transactions waiting, and none of ours was used by "
        "another program.",
        "The outbox fills a hole and signs anew by itself at its next look, within a minute. If it "
        "stays, another program signs with the same key: stop it, or give it a key of its own.",
        _gaps,
    ),
    Check(
        "request_spend",
        "transactions",
        WARN,
        "Requests cost less than 80 % of MAX_REQUEST_SPEND_PER_DAY_WEI in the last 24 hours, and "
        "that limit holds none back.",
        "Bindings, proofs and finalize are never held back by it. Find out why so many requests "
        "are made (requests_dead, jobs_dead); if that is right, raise the limit and restart.",
        _spend,
    ),
    _rows(
        "intents_stuck",
        "transactions",
        ERROR,
        "No signed transaction has waited for its block for over ten minutes.",
        "Check the node, nonce_gaps and the fees below: at MAX_FEE_PER_GAS_WEI nothing is raised "
        "any more. The outbox goes on with the stored transaction. With status mined it is not the "
        "fee: its block is not confirmed yet, look at indexer_lag.",
    ),
    _rows(
        "intents_waiting",
        "transactions",
        ERROR,
        "Nothing that was planned over ten minutes ago waits for MAX_FEE_PER_GAS_WEI, for "
        "MAX_TRANSACTION_VALUE_WEI, for a wallet's coins, for room in a block, or at an address "
        "without a contract.",
        "waits_for names the amounts: raise the limit and restart, or fund the wallet, before the "
        "proof deadline passes; it goes on by itself. A missing contract is a wrong address in "
        "the settings or on the challenge, or a node of another chain.",
    ),
    _rows(
        "intents_refused",
        "transactions",
        ERROR,
        "No effect was refused, by a contract or for the gas it asks for, and left at that.",
        "last_error names the reason; mend it before the deadline.",
    ),
    _rows(
        "evidence_pending",
        "evidence",
        WARN,
        "Evidence is judged within a quarter of an hour.",
        "Look at judgement_sensor's ticks and the last judge run.",
    ),
    _rows(
        "evidence_has_participant",
        "evidence",
        ERROR,
        "Whoever submitted evidence is a participant.",
        "Upload again, or insert the participant with source evidence_intake.",
    ),
    _rows(
        "verdict_evidence_exists",
        "verdicts",
        ERROR,
        "Every verdict's evidence is there to be looked at.",
        "Evidence was deleted after it was judged: restore it from a backup, or collect again.",
    ),
    _rows(
        "ranking_conserved",
        "rankings",
        ERROR,
        "A challenge has min(topN, ranked with a score above 0) winners, its ranks are 1 to n in "
        "order, and a closed ranking has the rows that it closed with.",
        "The challenge is held back from settlement. Materialize its day of rankings; a closed "
        "ranking is not computed again: restore its rows from a backup.",
    ),
    _rows(
        "rankings_quarantined",
        "rankings",
        ERROR,
        "Every ranking could be computed and agrees with what it was computed from.",
        "The challenge is held back from settlement. Correct what the problem names, then "
        "materialize its day of rankings.",
    ),
    _rows(
        "ranked_have_stake",
        "rankings",
        ERROR,
        "Everyone ranked has a stake above 0 on chain and a verdict.",
        "Materialize stakes, then the day of rankings.",
    ),
    _rows(
        "ranking_window_fits",
        "rankings",
        ERROR,
        "Competitive challenges end before their ranking has to close.",
        "Have the admin move the proof deadline (setVerificationConfig), or tell the players.",
    ),
    _rows(
        "standings_quarantined",
        "season_standings",
        ERROR,
        "Every season could be computed.",
        "Correct what the problem names; the season is computed again by itself.",
    ),
    Check(
        "standings_conserved",
        "season_standings",
        ERROR,
        "Wins, draws, losses and points are those of the decided matches and finalized challenges.",
        "Materialize the season's partition. While seasons_waiting is above 0, results have "
        "changed and standings_sensor is about to compute them: look at its ticks if that stays.",
        lambda around: health.standings_not_conserved(around.database.engine()),
        paced=True,
    ),
    _rows(
        "reputation_equals_mints",
        "reputation",
        ERROR,
        "Points, level, completions and victories equal the mints they come from.",
        "New mints are counted by the next reputation run, within a minute. If it stays, "
        "materialize reputation.",
    ),
]

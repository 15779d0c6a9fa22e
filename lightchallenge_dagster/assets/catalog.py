"""What each table is, for the asset graph: one entry a table, read by assets, jobs and checks."""

from __future__ import annotations

from dataclasses import dataclass

CHAIN = "chain"
EVIDENCE = "evidence"
JUDGEMENT = "judgement"
STANDING = "standing"
MONEY = "money"
WEB_APP = "web_app"

#: Owners route alerts; a deployment maps these teams to people in its Dagster settings.
OWNERS = {
    CHAIN: ["team:chain"],
    EVIDENCE: ["team:data"],
    JUDGEMENT: ["team:data"],
    STANDING: ["team:data"],
    MONEY: ["team:chain"],
    WEB_APP: ["team:web"],
}


@dataclass(frozen=True, slots=True)
class Table:
    """A table as an asset: its name in the database and the rows worth a look.

    ``top`` is run at every materialization, so a large table is ordered as one of its indexes is.
    """

    key: str
    name: str
    group: str
    description: str
    top: str


def _table(key: str, name: str, group: str, description: str, top: str) -> Table:
    return Table(key, name, group, " ".join(description.split()), top)


_ENTRIES = [
    _table(
        "chain_logs",
        "pipeline.chain_logs",
        CHAIN,
        """Every log of every LightChallenge contract, raw and decoded, bound to its block's hash.
        All chain projections are computed from it. Materializing a range reads it again from the
        node and heals gaps; the live checkpoint is not touched.""",
        """select block_number, log_index, coalesce(event, 'undecoded') as event, challenge_id,
        account from pipeline.chain_logs order by chain_id desc, block_number desc, log_index desc
        limit 10""",
    ),
    _table(
        "challenges",
        "public.challenges",
        CHAIN,
        """Challenges: what the web app says about them, with status and chain_outcome kept from
        the chain.""",
        """select id, status, chain_outcome, title, subject from public.challenges
        order by id desc limit 10""",
    ),
    _table(
        "chain_challenges",
        "pipeline.chain_challenges",
        CHAIN,
        """The chain's own facts about a challenge: stake, times, verifier, status. Every gate and
        deadline is read here.""",
        """select challenge_id, status, outcome, start_ts, end_ts, proof_deadline_ts
        from pipeline.chain_challenges order by challenge_id desc limit 10""",
    ),
    _table(
        "participants",
        "public.participants",
        CHAIN,
        """Who takes part: from Joined, from the creator's stake, and from evidence intake.""",
        """select challenge_id, subject, source, joined_at from public.participants
        order by id desc limit 10""",
    ),
    _table(
        "stakes",
        "pipeline.stakes",
        CHAIN,
        """What each wallet staked on each challenge, in wei; several joins add up.""",
        """select challenge_id, subject, amount_wei from pipeline.stakes
        order by challenge_id desc, amount_wei desc limit 10""",
    ),
    _table(
        "claims",
        "public.claims",
        CHAIN,
        """Coins claimed, from ChallengePay and Treasury events. A paid winner shows as `winner`
        (granted) and as `treasury_eth` (pulled): the same coins seen twice.""",
        """select challenge_id, subject, claim_type, amount_wei, source from public.claims
        order by id desc limit 10""",
    ),
    _table(
        "chain_winners",
        "pipeline.chain_winners",
        CHAIN,
        """Winners as the contract marked them (WinnerMarked): the only proof that a proof was
        accepted.""",
        """select challenge_id, subject, block_number from pipeline.chain_winners
        order by block_number desc limit 10""",
    ),
    _table(
        "inference_requests",
        "pipeline.inference_requests",
        CHAIN,
        """AIVM inference requests and how far the network has taken them.""",
        """select request_id, status, attestations, requested_block, finalized_block
        from pipeline.inference_requests order by request_id desc limit 10""",
    ),
    _table(
        "bindings",
        "pipeline.bindings",
        CHAIN,
        """Bindings in ChallengeTaskRegistry. A binding is a payment order.""",
        """select challenge_id, subject, request_id, block_number from pipeline.bindings
        order by block_number desc limit 10""",
    ),
    _table(
        "achievement_mints",
        "public.achievement_mints",
        CHAIN,
        """Soulbound achievements minted.""",
        """select token_id, challenge_id, recipient, achievement_type from public.achievement_mints
        order by id desc limit 10""",
    ),
    _table(
        "aivm_jobs",
        "public.aivm_jobs",
        MONEY,
        """The queue of AIVM jobs, one a challenge. The dispatcher inserts, the worker submits,
        the chain's events move it to done.""",
        """select challenge_id, status, attempts, task_id, last_error from public.aivm_jobs
        order by updated_at desc limit 10""",
    ),
    _table(
        "transactions",
        "pipeline.transactions",
        MONEY,
        """Every transaction ever signed here, stored before it was broadcast.""",
        """select t.intent_key, t.nonce, i.status, t.block_number from pipeline.transactions t
        join pipeline.intents i on i.key = t.intent_key order by t.signed_at desc limit 10""",
    ),
    _table(
        "evidence",
        "public.evidence",
        EVIDENCE,
        """Normalised activity and match records per challenge, wallet and provider. Materializing
        a day collects again for the challenges that end on it.""",
        """select id, challenge_id, subject, provider, jsonb_array_length(data) as records,
        created_at from public.evidence order by id desc limit 10""",
    ),
    _table(
        "verdicts",
        "public.verdicts",
        JUDGEMENT,
        """What the evidence shows: one verdict per challenge and wallet, best provider first.
        Verdicts behind a payment order never change.""",
        """select challenge_id, subject, pass, score, evaluator, reasons from public.verdicts
        order by updated_at desc limit 10""",
    ),
    _table(
        "rankings",
        "public.rankings",
        JUDGEMENT,
        """Who won a competitive challenge: score, then the earlier evidence, then the wallet.
        Provisional until the ranking closes, frozen from the first binding.""",
        """select challenge_id, rank, subject, score, winner, state from public.rankings
        order by challenge_id desc, rank limit 10""",
    ),
    _table(
        "reputation",
        "public.reputation",
        STANDING,
        """Points and level per wallet, from achievement mints.""",
        """select subject, points, level, completions, victories from public.reputation
        order by points desc, subject limit 10""",
    ),
    _table(
        "season_standings",
        "public.season_standings",
        STANDING,
        """Wins, losses, draws and points per season and wallet.""",
        """select season_id, wallet, points, wins, losses, draws from public.season_standings
        order by points desc, wins desc, losses, wallet limit 10""",
    ),
]

TABLES: dict[str, Table] = {entry.key: entry for entry in _ENTRIES}

#: Tables the web app writes and this project only reads.
WEB_APP_TABLES: dict[str, str] = {
    "models": "AIVM model registry: which providers a model accepts as evidence.",
    "linked_accounts": "Provider accounts that wallets connected.",
    "identity_bindings": "Wallets' game platform identities.",
    "seasons": "Seasons and their scoring.",
    "competitions": "Competitions and the challenges in them.",
    "season_competitions": "Which competitions count for which season, and with what weight.",
    "bracket_matches": "Matches of bracket competitions and their results.",
    "team_roster": "Who plays for which team.",
}

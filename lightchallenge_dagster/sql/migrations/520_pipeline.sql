-- Our own bookkeeping. The web app's tables in public stay as documented; everything the
-- pipeline needs beside them lives here.

create schema if not exists pipeline;

-- ── Chain: what was read ────────────────────────────────────────────────────────────────

create table if not exists pipeline.chain_blocks (
    chain_id    bigint  not null,
    number      bigint  not null,
    hash        text    not null,
    parent_hash text    not null,
    timestamp   bigint  not null,               -- epoch seconds
    log_count   integer not null default 0,
    primary key (chain_id, number)
);

-- Natural key (chain, block_number, log_index), bound to block_hash. The columns after `data`
-- are decoded: the keys the projections select by. An event that cannot be decoded keeps its
-- topics and data, has `event` null and says why in `problem`.
create table if not exists pipeline.chain_logs (
    chain_id        bigint  not null,
    block_number    bigint  not null,
    log_index       integer not null,
    block_hash      text    not null,
    block_timestamp bigint  not null,           -- epoch seconds
    tx_hash         text    not null,
    tx_index        integer not null,
    address         text    not null,
    topics          text[]  not null,
    data            text    not null,
    event           text,                       -- 'ChallengePay.Joined'
    challenge_id    bigint,                     -- null where the event has none, or one beyond bigint
    account         text,                       -- the wallet the event is about
    request_id      numeric(78, 0),
    args            jsonb,                      -- every argument by name, integers as decimal strings
    snapshot        jsonb,                      -- what was read from the contract beside the log
    problem         text,
    primary key (chain_id, block_number, log_index)
);
create index if not exists chain_logs_challenge_idx
    on pipeline.chain_logs (challenge_id, event) where challenge_id is not null;
create index if not exists chain_logs_request_idx
    on pipeline.chain_logs (request_id) where request_id is not null;
create index if not exists chain_logs_account_idx
    on pipeline.chain_logs (account, event) where account is not null;

create table if not exists pipeline.checkpoints (
    chain_id     bigint not null,
    stream       text   not null,               -- 'live'
    block_number bigint not null,
    block_hash   text   not null,
    updated_at   timestamptz not null default now(),
    primary key (chain_id, stream)
);

-- A row of a public table as it was just before the indexer first wrote it (null: there was
-- none). A projection is a fold of the stored logs over this row, so a reorg can return to it.
create table if not exists pipeline.adopted_rows (
    table_name text not null,
    row_key    text not null,
    before     jsonb,
    adopted_at timestamptz not null default now(),
    primary key (table_name, row_key)
);

-- ── Chain: what follows from it (projections without a public table) ────────────────────

create table if not exists pipeline.chain_challenges (
    challenge_id      bigint primary key,
    chain_id          bigint not null,
    creator           text   not null,
    kind              smallint not null,
    currency          smallint not null,        -- 0 native, 1 ERC-20
    token             text   not null,
    stake_wei         numeric(78, 0) not null,
    join_closes_ts    bigint not null,
    start_ts          bigint not null,
    end_ts            bigint not null,
    proof_deadline_ts bigint not null,
    max_participants  bigint not null,
    verifier          text   not null,
    external_id       text   not null,
    status            text   not null check (status in ('Active', 'Paused', 'Finalized', 'Canceled')),
    outcome           smallint,                 -- 0 None, 1 Success, 2 Fail; null until finalized
    created_block     bigint not null,
    created_tx        text   not null
);

create table if not exists pipeline.stakes (
    challenge_id bigint not null,
    subject      text   not null,
    amount_wei   numeric(78, 0) not null,
    joined_ts    bigint not null,
    tx_hash      text   not null,
    primary key (challenge_id, subject)
);

create table if not exists pipeline.chain_winners (
    challenge_id bigint not null,
    subject      text   not null,
    block_number bigint not null,
    tx_hash      text   not null,
    primary key (challenge_id, subject)
);

create table if not exists pipeline.inference_requests (
    request_id      numeric(78, 0) primary key,
    task_id         text not null unique,
    requester       text not null,
    model           text not null,
    prompt_hash     text not null,
    prompt_id       text not null,
    model_digest    text not null,
    det_config_hash text not null,
    status          text not null check (status in ('requested', 'committed', 'revealed', 'finalized')),
    worker          text,
    response        text,
    response_hash   text,
    result_hash     text,
    transcript_hash text,
    slot            numeric(20, 0),
    attestations    integer not null default 0,
    requested_block bigint not null,
    requested_tx    text not null,
    requested_ts    bigint not null,
    finalized_block bigint
);

create table if not exists pipeline.bindings (
    challenge_id   bigint not null,
    subject        text   not null,
    request_id     numeric(78, 0) not null,
    task_id        text   not null,
    model_digest   text   not null,
    params_hash    text   not null,
    benchmark_hash text   not null,
    schema_version integer not null,
    tx_hash        text   not null,
    block_number   bigint not null,
    primary key (challenge_id, subject)
);

-- ── Judgement ───────────────────────────────────────────────────────────────────────────

-- What a challenge row's configuration means, parsed once per version of the row.
create table if not exists pipeline.challenge_plans (
    challenge_id      bigint primary key,
    config_hash       text not null,
    mode              text not null check (mode in ('threshold', 'competitive')),
    top_n             integer not null,
    starts_at         timestamptz,
    ends_at           timestamptz,
    proof_deadline    timestamptz,
    ranking_closes_at timestamptz,
    partition_key     text not null,            -- UTC day of ends_at, or 'unscheduled'
    problem           text,
    planned_at        timestamptz not null default now()
);
create index if not exists challenge_plans_partition_idx on pipeline.challenge_plans (partition_key);

create table if not exists pipeline.judgements (
    challenge_id bigint  not null,
    subject      text    not null,
    inputs_hash  text    not null,              -- evidence and rule the verdict was made from
    final_when   text    not null check (final_when in ('now', 'ends_at', 'proof_deadline')),
    judged_at    timestamptz not null default now(),
    primary key (challenge_id, subject)
);

create table if not exists pipeline.ranking_states (
    challenge_id bigint primary key,
    state        text not null check (state in ('provisional', 'closed', 'frozen')),
    inputs_hash  text not null,
    ranked       integer not null,
    winners      integer not null,
    ranked_at    timestamptz not null default now(),
    closed_at    timestamptz,
    frozen_at    timestamptz
);

create table if not exists pipeline.standings_states (
    season_id   uuid primary key,
    inputs_hash text not null,
    problem     text,
    computed_at timestamptz not null default now()
);

-- ── Uploads ─────────────────────────────────────────────────────────────────────────────

create table if not exists pipeline.inbox_files (
    id           bigint generated always as identity primary key,
    name         text not null,
    sha256       text not null,
    size_bytes   bigint not null,
    outcome      text not null check (outcome in ('stored', 'unchanged', 'rejected')),
    reason       text,
    challenge_id bigint,
    subject      text,
    provider     text,
    taken_at     timestamptz not null default now()
);

-- ── Transactions ────────────────────────────────────────────────────────────────────────

-- One row an effect on chain, ever: 'request:42:1', 'bind:42:0xab…:7', 'proof:42:0xab…', 'finalize:42'.
create table if not exists pipeline.intents (
    key          text primary key,
    chain_id     bigint not null,
    kind         text not null,                 -- request bind clear proof finalize metadata
    challenge_id bigint,
    subject      text,
    signer       text not null,
    to_address   text not null,
    data         text not null,
    value_wei    numeric(78, 0) not null default 0,
    nonce        bigint,
    status       text not null default 'planned'
        check (status in ('planned', 'signed', 'broadcast', 'mined', 'confirmed', 'reverted', 'refused')),
    refusals     integer not null default 0,    -- refusals by a contract; outages do not count
    last_error   text,
    retry_at     timestamptz,
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now()
);
create index if not exists intents_open_idx on pipeline.intents (status)
    where status not in ('confirmed', 'reverted', 'refused');
create index if not exists intents_challenge_idx on pipeline.intents (challenge_id, kind);

create table if not exists pipeline.signers (
    chain_id   bigint not null,
    address    text   not null,
    next_nonce bigint not null,
    primary key (chain_id, address)
);

create table if not exists pipeline.transactions (
    hash                 text primary key,
    intent_key           text not null references pipeline.intents (key),
    chain_id             bigint not null,
    signer               text   not null,
    nonce                bigint not null,
    raw                  text   not null,
    gas                  bigint not null,
    max_fee_per_gas      numeric(78, 0) not null,
    max_priority_fee_per_gas numeric(78, 0),    -- null: a legacy transaction
    signed_at            timestamptz not null default now(),
    broadcast_at         timestamptz,
    block_number         bigint,
    block_hash           text,
    receipt_status       smallint,
    gas_used             bigint,
    effective_gas_price  numeric(78, 0)
);
create index if not exists transactions_intent_idx on pipeline.transactions (intent_key);

-- ── One at a time ───────────────────────────────────────────────────────────────────────

-- "One in flight": a row lease, because a run whose host died stays STARTED in Dagster. The
-- token grows with every holder and fences out the one that lost it.
create table if not exists pipeline.leases (
    name       text primary key,
    token      bigint not null,
    holder     text not null,
    expires_at timestamptz not null
);

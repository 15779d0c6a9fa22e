-- The second reading: how far each contract's events have been read again and found equal, what
-- was found on the way, and how far the indexer was behind the chain over time.

-- One stream per contract and set of registered events. A new address or a new event makes a new
-- stream, which starts before the first indexed block: its history is read by itself.
create table if not exists pipeline.verified_streams (
    chain_id      bigint not null,
    role          text   not null,
    address       text   not null,
    topics_hash   text   not null,
    block_number  bigint not null,              -- the watermark: read twice up to here
    block_hash    text,                         -- null until the first range has passed
    followed_from bigint not null,              -- logs found below it are history, not late
    late_logs     bigint not null default 0,
    wrong_logs    bigint not null default 0,
    history_logs  bigint not null default 0,
    problem       text,                         -- why the watermark does not pass; null when it may
    problem_block bigint,
    problem_since timestamptz,
    tried_at      timestamptz,
    updated_at    timestamptz not null default now(),
    primary key (chain_id, role, address, topics_hash)
);

-- Each log that the second reading added (late) or dropped (wrong).
create table if not exists pipeline.verification_findings (
    id           bigint generated always as identity primary key,
    chain_id     bigint  not null,
    finding      text    not null check (finding in ('late', 'wrong')),
    block_number bigint  not null,
    log_index    integer not null,
    block_hash   text    not null,
    tx_hash      text    not null,
    address      text    not null,
    event        text,
    found_at     timestamptz not null default now()
);
create index if not exists verification_findings_found_idx
    on pipeline.verification_findings (found_at);

create table if not exists pipeline.lag_samples (
    chain_id    bigint not null,
    at          timestamptz not null default now(),
    head        bigint not null,
    checkpoint  bigint not null,
    verified    bigint,                         -- the lowest watermark; null before the first
    lag_blocks  bigint not null,
    lag_seconds bigint not null,                -- chain time between the checkpoint and the head
    primary key (chain_id, at)
);

-- Who works on which AIVM job. The public table stays as documented; lease, heartbeat and fencing
-- token are here. The token grows with every claim of a job, so that a worker that lost its claim
-- writes nothing about the job any more. A claim that was given back expires at -infinity.
create table if not exists pipeline.job_claims (
    challenge_id bigint primary key,
    token        bigint not null,
    worker       text   not null,
    claimed_at   timestamptz not null,
    heartbeat_at timestamptz not null,
    expires_at   timestamptz not null
);

-- What AIVMInferenceV2.requests() said about a challenge's request when it was last read:
-- cancellation and timeouts emit no event. `seen_status` is the indexed status at that moment, so
-- that a request is read again when it moved on. `dead` says why it can serve nobody any more; a
-- dead request is never bound to, and its challenge is requested anew.
create table if not exists pipeline.request_watch (
    request_id        numeric(78, 0) primary key,
    challenge_id      bigint   not null,
    task_id           text     not null,
    requester         text     not null,
    fee_wei           numeric(78, 0) not null,
    chain_status      smallint not null,    -- 1 Requested … 4 Finalized, 5 Cancelled, 6 TimedOut, 7 Disputed
    commit_deadline   bigint   not null,    -- epoch seconds; 0 before the stage is reached
    reveal_deadline   bigint   not null,
    finalize_deadline bigint   not null,
    seen_status       text     not null,
    read_at           timestamptz not null default now(),
    dead              text,
    died_at           timestamptz
);
create index if not exists request_watch_challenge_idx on pipeline.request_watch (challenge_id);

-- The chain's head when a transaction was signed: it is replaced when blocks pass it over.
alter table pipeline.transactions add column if not exists signed_block bigint;

-- Two effects never share a nonce. An intent whose nonce a foreign transaction used has none.
create unique index if not exists intents_nonce_uq
    on pipeline.intents (chain_id, signer, nonce) where nonce is not null;
create index if not exists transactions_nonce_idx
    on pipeline.transactions (chain_id, signer, nonce);

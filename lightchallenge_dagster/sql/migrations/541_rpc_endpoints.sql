-- What we have learned about each endpoint of LCAI_RPC, under a name that tells nothing of its
-- address: the range of blocks it serves, how often it failed and how, and how long it rests.

create table if not exists pipeline.rpc_endpoints (
    chain_id      bigint  not null,
    fingerprint   text    not null,             -- of the URL; the same in any place of the list
    label         text    not null,             -- its place in the list, and the fingerprint
    range_blocks  integer not null,             -- blocks asked for in one eth_getLogs
    range_maximum integer not null,             -- MAX_BLOCK_RANGE when that was learned
    range_served  integer not null default 0,   -- answers since the range last changed
    range_refused integer,                      -- smallest range refused and not served since
    counts        jsonb   not null default '{}', -- calls, and failures by kind, of all processes
    failures      integer not null default 0,   -- in a row
    rests_until   timestamptz,
    last_error    text,
    last_error_at timestamptz,
    last_answer_at timestamptz,                 -- the newest good one; failures outlive a few of them
    updated_at    timestamptz not null default now(),
    primary key (chain_id, fingerprint)
);

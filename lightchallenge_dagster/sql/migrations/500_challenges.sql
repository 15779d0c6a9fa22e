-- The challenge tables the pipeline shares with the web app, as the web app's database guide
-- documents them. Where the web app's own migrations (001 to 031, same ledger) have run, every
-- table and index is found and left alone; columns its later migrations brought are added when
-- an older database lacks them.

-- Only what is missing is altered: to alter a table one has to own it, and an existing database's
-- tables may be another role's.
create function pg_temp.ensure_column(target text, name text, type text) returns void
language plpgsql as $$
begin
    if not exists (select 1 from pg_attribute a
                    where a.attrelid = to_regclass(target) and a.attname = name
                      and not a.attisdropped) then
        execute format('alter table %s add column %I %s', target, name, type);
    end if;
end
$$;

create table if not exists public.challenges (
    id                         bigint primary key,
    title                      text,
    description                text,
    subject                    text,
    tx_hash                    text,
    model_id                   text,
    model_hash                 text,
    params                     jsonb,
    proof                      jsonb,
    timeline                   jsonb,
    funds                      jsonb,
    options                    jsonb,
    status                     text,
    chain_outcome              smallint,
    registry_status            text default 'pending',
    registry_tx_hash           text,
    registry_error             text,
    aivm_request_started       boolean,
    aivm_request_started_at    timestamptz,
    created_at                 timestamptz,
    updated_at                 timestamptz
);
select pg_temp.ensure_column('public.challenges', 'chain_outcome', 'smallint');
select pg_temp.ensure_column('public.challenges', 'registry_status', $$text default 'pending'$$);
select pg_temp.ensure_column('public.challenges', 'registry_tx_hash', 'text');
select pg_temp.ensure_column('public.challenges', 'registry_error', 'text');

create table if not exists public.participants (
    id           bigserial primary key,
    challenge_id bigint not null,
    subject      text not null,
    tx_hash      text,
    joined_at    timestamptz,
    source       text not null default 'unknown',
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now()
);
select pg_temp.ensure_column('public.participants', 'source', $$text not null default 'unknown'$$);

create table if not exists public.evidence (
    id            bigserial primary key,
    challenge_id  bigint not null,
    subject       text not null,
    provider      text not null,
    data          jsonb not null,
    evidence_hash text not null,
    raw_ref       text,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now()
);

create table if not exists public.verdicts (
    id            bigserial primary key,
    challenge_id  bigint not null,
    subject       text not null,
    pass          boolean not null,
    reasons       text[] not null,
    evidence_hash text not null,
    evaluator     text not null,
    score         numeric,
    metadata      jsonb,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    constraint verdicts_challenge_subject_uq unique (challenge_id, subject)
);
select pg_temp.ensure_column('public.verdicts', 'score', 'numeric');
select pg_temp.ensure_column('public.verdicts', 'metadata', 'jsonb');

create table if not exists public.aivm_jobs (
    id             bigserial primary key,
    challenge_id   bigint not null unique,
    status         text not null,
    attempts       integer not null,
    last_error     text,
    worker_address text,
    task_id        text,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now()
);

create table if not exists public.claims (
    id           bigserial primary key,
    challenge_id bigint not null,
    subject      text not null,
    claim_type   text not null,
    amount_wei   numeric(78, 0) not null,
    bucket_id    bigint,
    tx_hash      text,
    block_number bigint,
    source       text not null,
    metadata     jsonb,
    claimed_at   timestamptz not null default now(),
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now()
);
select pg_temp.ensure_column('public.claims', 'metadata', 'jsonb');

create table if not exists public.achievement_mints (
    id               bigserial primary key,
    token_id         bigint not null unique,
    challenge_id     bigint not null,
    recipient        text not null,
    achievement_type text not null check (achievement_type in ('completion', 'victory')),
    tx_hash          text,
    block_number     bigint,
    minted_at        timestamptz not null default now(),
    created_at       timestamptz not null default now()
);

create table if not exists public.reputation (
    subject     text primary key,
    points      integer not null default 0,
    level       integer not null default 1,
    completions integer not null default 0,
    victories   integer not null default 0,
    updated_at  timestamptz not null default now()
);

create table if not exists public.indexer_state (
    key   text primary key,
    value text
);

create table if not exists public.identity_bindings (
    id          bigserial primary key,
    wallet      text not null,
    platform    text not null,
    platform_id text not null,
    handle      text,
    signed_by   text,
    signature   text,
    ts          bigint not null,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    constraint identity_bindings_wallet_platform_uq unique (wallet, platform)
);

create table if not exists public.linked_accounts (
    id               bigserial primary key,
    subject          text not null,
    provider         text not null,
    external_id      text,
    access_token     text,
    refresh_token    text,
    token_expires_at timestamptz,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now()
);

create table if not exists public.openid_nonces (
    id         bigserial primary key,
    nonce      text not null unique,
    expires_at timestamptz not null,
    created_at timestamptz not null default now()
);

create table if not exists public.models (
    id             text primary key,
    label          text not null,
    kind           text not null,
    model_hash     text not null,
    verifier       text not null,
    plonk_verifier text,
    binding        boolean not null,
    signals        jsonb not null,
    params_schema  jsonb not null,
    sources        jsonb not null,
    file_accept    jsonb not null,
    notes          text,
    active         boolean not null default true,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now()
);

create table if not exists public.challenge_templates (
    id          text primary key,
    name        text not null,
    hint        text,
    kind        text not null,
    model_id    text not null,
    fields_json jsonb not null,
    rule_config jsonb,
    active      boolean not null default true,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now()
);

create table if not exists public.challenge_invites (
    id                 text primary key,
    challenge_id       bigint not null,
    method             text not null,
    value              text not null,
    status             text not null default 'queued',
    inviter_wallet     text,
    accepted_by_wallet text,
    joined_at          timestamptz,
    created_at         timestamptz not null default now(),
    updated_at         timestamptz not null default now()
);
select pg_temp.ensure_column('public.challenge_invites', 'inviter_wallet', 'text');
select pg_temp.ensure_column('public.challenge_invites', 'accepted_by_wallet', 'text');
select pg_temp.ensure_column('public.challenge_invites', 'joined_at', 'timestamptz');

create table if not exists public.reminders (
    id           bigserial primary key,
    email        text not null,
    challenge_id bigint not null references public.challenges (id),
    type         text not null,
    sent         boolean not null default false,
    created_at   timestamptz not null default now(),
    sent_at      timestamptz,
    unique (email, challenge_id, type)
);

-- An index is made unless the table has one of this name, or the same one under another name
-- (a unique one serves for a plain one too).
create function pg_temp.ensure_index(name text, kind text, target text, keys text) returns void
language plpgsql as $$
begin
    if not exists (
        select 1
        from pg_index i
        where i.indrelid = to_regclass(target)
          and ((select c.relname from pg_class c where c.oid = i.indexrelid) = name
               or (regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING btree ', '') = keys
                   and i.indisvalid and (i.indisunique or kind = 'plain')))
    ) then
        execute format('create %s index %I on %s using btree %s',
                       case kind when 'unique' then 'unique' else '' end, name, target, keys);
    end if;
end
$$;

select pg_temp.ensure_index(name, kind, target, keys)
from (values
    ('challenges_status_idx', 'plain', 'public.challenges', '(status)'),
    ('challenges_created_at_idx', 'plain', 'public.challenges', '(created_at)'),
    ('challenges_status_created_at_idx', 'plain', 'public.challenges', '(status, created_at)'),
    ('participants_challenge_subject_uq', 'unique', 'public.participants', '(challenge_id, lower(subject))'),
    ('participants_subject_idx', 'plain', 'public.participants', '(lower(subject))'),
    ('participants_challenge_id_idx', 'plain', 'public.participants', '(challenge_id)'),
    ('evidence_challenge_id_idx', 'plain', 'public.evidence', '(challenge_id)'),
    ('evidence_challenge_subject_idx', 'plain', 'public.evidence', '(challenge_id, lower(subject))'),
    ('verdicts_challenge_subject_uq', 'unique', 'public.verdicts', '(challenge_id, subject)'),
    ('verdicts_challenge_id_idx', 'plain', 'public.verdicts', '(challenge_id)'),
    ('aivm_jobs_status_created_at_idx', 'plain', 'public.aivm_jobs', '(status, created_at)'),
    ('aivm_jobs_task_id_idx', 'plain', 'public.aivm_jobs', '(task_id)'),
    ('claims_challenge_subject_type_uq', 'unique', 'public.claims', '(challenge_id, lower(subject), claim_type)'),
    ('claims_subject_idx', 'plain', 'public.claims', '(lower(subject))'),
    ('claims_challenge_id_idx', 'plain', 'public.claims', '(challenge_id)'),
    ('claims_tx_hash_idx', 'plain', 'public.claims', '(tx_hash) WHERE (tx_hash IS NOT NULL)'),
    ('achievement_mints_recipient_idx', 'plain', 'public.achievement_mints', '(lower(recipient))'),
    ('achievement_mints_challenge_id_idx', 'plain', 'public.achievement_mints', '(challenge_id)'),
    ('identity_bindings_wallet_platform_uq', 'unique', 'public.identity_bindings', '(wallet, platform)'),
    ('identity_bindings_wallet_idx', 'plain', 'public.identity_bindings', '(wallet)'),
    ('identity_bindings_platform_id_idx', 'plain', 'public.identity_bindings', '(platform, platform_id)'),
    ('linked_accounts_subject_provider_uq', 'unique', 'public.linked_accounts', '(lower(subject), provider)'),
    ('linked_accounts_subject_idx', 'plain', 'public.linked_accounts', '(lower(subject))'),
    ('linked_accounts_provider_idx', 'plain', 'public.linked_accounts', '(provider)'),
    ('openid_nonces_expires_at_idx', 'plain', 'public.openid_nonces', '(expires_at)'),
    ('models_kind_idx', 'plain', 'public.models', '(kind)'),
    ('models_active_idx', 'plain', 'public.models', '(active)'),
    ('challenge_templates_kind_idx', 'plain', 'public.challenge_templates', '(kind)'),
    ('challenge_templates_active_idx', 'plain', 'public.challenge_templates', '(active)'),
    ('challenge_invites_challenge_id_idx', 'plain', 'public.challenge_invites', '(challenge_id)'),
    ('challenge_invites_status_idx', 'plain', 'public.challenge_invites', '(status)'),
    ('reminders_sent_created_at_idx', 'plain', 'public.reminders', '(sent, created_at)')
) as wanted (name, kind, target, keys);

drop function pg_temp.ensure_index(text, text, text, text);
drop function pg_temp.ensure_column(text, text, text);

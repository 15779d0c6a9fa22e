-- A database as a deployment may have it: the web app's runner came part of the way (before its
-- migrations 013 to 018 and 029), index names are its own, and some shapes are wider than the guide.
create table schema_migrations (
    id serial primary key,
    filename text not null unique,
    applied_at timestamptz not null default now()
);
insert into schema_migrations (filename) values ('001_evidence.sql');

create table evidence (
    id bigserial primary key, challenge_id bigint not null, subject text not null,
    provider text not null, data jsonb not null, evidence_hash text not null, raw_ref text,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now()
);
create index idx_evidence_challenge on evidence (challenge_id);
create unique index evidence_one_per_provider on evidence (challenge_id, lower(subject), provider);
create index idx_evidence_subject on evidence (challenge_id, lower(subject));
insert into evidence (challenge_id, subject, provider, data, evidence_hash)
values (7, '0xAbC0000000000000000000000000000000000001', 'strava', '[{"distance_m": 5000}]', '0x01');

create table verdicts (
    id bigserial primary key, challenge_id bigint not null, subject text not null,
    pass boolean not null, reasons text[] not null default '{}', evidence_hash text not null,
    evaluator text not null, created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint verdicts_challenge_subject_uq unique (challenge_id, subject)
);
insert into verdicts (challenge_id, subject, pass, evidence_hash, evaluator)
values (7, '0xabc0000000000000000000000000000000000001', true, '0x01', 'fitness');

create table participants (
    id bigserial primary key, challenge_id bigint not null, subject text not null, tx_hash text,
    joined_at timestamptz, created_at timestamptz not null, updated_at timestamptz not null
);
create unique index one_participant_per_challenge on participants (challenge_id, lower(subject));
insert into participants (challenge_id, subject, created_at, updated_at)
values (7, '0xabc0000000000000000000000000000000000001', '2026-01-01Z', '2026-01-01Z');

create table challenges (
    id bigint primary key, title text, description varchar(4000), subject text, tx_hash text,
    model_id text, model_hash text, params jsonb, proof jsonb, timeline jsonb, funds jsonb,
    options jsonb, status text not null default 'pending', aivm_request_started boolean default false,
    aivm_request_started_at timestamptz, created_at timestamptz default now(), updated_at timestamptz
);
create index challenges_proof_kind_idx on challenges ((proof ->> 'kind'));
insert into challenges (id, title, status) values (7, 'Run 5 km', 'Active');

create table aivm_jobs (
    id bigserial primary key, challenge_id bigint not null unique references challenges (id),
    status text not null default 'queued', attempts int not null default 0, last_error text,
    worker_address text, task_id text, created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(), max_attempts int
);
insert into aivm_jobs (challenge_id) values (7);

create table claims (
    id bigserial primary key, challenge_id bigint not null, subject text not null,
    claim_type text not null, amount_wei numeric(78, 0) not null, bucket_id bigint, tx_hash text,
    block_number bigint, source text not null default 'ui', claimed_at timestamptz not null default now(),
    created_at timestamptz not null default now(), updated_at timestamptz not null default now()
);
create unique index claims_challenge_subject_type_uq on claims (challenge_id, lower(subject), claim_type);
insert into claims (challenge_id, subject, claim_type, amount_wei)
values (7, '0xabc0000000000000000000000000000000000001', 'principal', 1);

create table achievement_mints (
    id bigserial primary key, token_id bigint unique, challenge_id bigint not null,
    recipient text not null, achievement_type text not null
        check (achievement_type in ('completion', 'victory', 'streak', 'explorer', 'founder')),
    tx_hash text, block_number bigint, minted_at timestamptz not null default now(),
    created_at timestamptz not null default now()
);
insert into achievement_mints (challenge_id, recipient, achievement_type)
values (7, '0xabc0000000000000000000000000000000000001', 'explorer');

create table indexer_state (key text primary key, value text not null, updated_at timestamptz);
insert into indexer_state (key, value) values ('last_claims_block', '1200000');

create table challenge_invites (
    id text primary key, challenge_id bigint not null, method text not null, value text not null,
    status text not null default 'queued', created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
insert into challenge_invites (id, challenge_id, method, value) values ('a', 7, 'email', 'x@example.com');

create table competitions (
    id uuid primary key default gen_random_uuid(), org_id uuid, title text not null, description text,
    type text not null default 'challenge' check (type in ('challenge', 'bracket', 'ladder', 'league')),
    status text not null default 'draft', category text, rules jsonb not null default '{}',
    prize_config jsonb not null default '{}', settings jsonb not null default '{}',
    challenge_ids bigint[] not null default '{}', registration_opens_at timestamptz,
    registration_closes_at timestamptz, starts_at timestamptz, ends_at timestamptz, created_by text,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now()
);
insert into competitions (title, type) values ('Spring league', 'league');

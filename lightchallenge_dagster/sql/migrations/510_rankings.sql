-- Who won a challenge. A verdict says what the evidence shows; a ranking says who is paid, and
-- once frozen it never changes.

create table if not exists public.rankings (
    id           bigserial primary key,
    challenge_id bigint not null,
    subject      text not null,
    rank         integer not null,
    score        numeric,
    winner       boolean not null,
    tie_break_at timestamptz,
    top_n        integer not null,
    state        text not null check (state in ('provisional', 'closed', 'frozen')),
    inputs_hash  text not null,
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now(),
    constraint rankings_challenge_subject_uq unique (challenge_id, subject)
);
create index if not exists rankings_challenge_rank_idx on public.rankings (challenge_id, rank);
create index if not exists rankings_subject_idx on public.rankings (subject) where winner;

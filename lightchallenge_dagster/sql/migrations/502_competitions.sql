-- Organizations, competitions, seasons and teams, as the web app's database guide documents them.

create table if not exists public.organizations (
    id           uuid primary key default gen_random_uuid(),
    name         text not null,
    slug         text not null unique,
    logo_url     text,
    website      text,
    description  text,
    owner_wallet text not null,
    theme        jsonb not null default '{}',
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now()
);

create table if not exists public.org_members (
    id        uuid primary key default gen_random_uuid(),
    org_id    uuid not null references public.organizations (id),
    wallet    text not null,
    role      text not null default 'member',
    email     text,
    joined_at timestamptz not null default now()
);

create table if not exists public.competitions (
    id                     uuid primary key default gen_random_uuid(),
    org_id                 uuid references public.organizations (id),
    title                  text not null,
    description            text,
    type                   text not null default 'challenge',
    status                 text not null default 'draft',
    category               text,
    rules                  jsonb not null default '{}',
    prize_config           jsonb not null default '{}',
    settings               jsonb not null default '{}',
    challenge_ids          bigint[] not null default '{}',
    registration_opens_at  timestamptz,
    registration_closes_at timestamptz,
    starts_at              timestamptz,
    ends_at                timestamptz,
    created_by             text,
    created_at             timestamptz not null default now(),
    updated_at             timestamptz not null default now()
);

create table if not exists public.teams (
    id         uuid primary key default gen_random_uuid(),
    org_id     uuid not null references public.organizations (id),
    name       text not null,
    tag        text,
    logo_url   text,
    created_at timestamptz not null default now()
);

create table if not exists public.team_roster (
    id        uuid primary key default gen_random_uuid(),
    team_id   uuid not null references public.teams (id),
    wallet    text not null,
    role      text not null default 'player',
    joined_at timestamptz not null default now()
);

create table if not exists public.competition_registrations (
    id             uuid primary key default gen_random_uuid(),
    competition_id uuid not null references public.competitions (id),
    wallet         text,
    team_id        uuid references public.teams (id),
    seed           integer,
    checked_in     boolean not null default false,
    registered_at  timestamptz not null default now()
);

create table if not exists public.seasons (
    id             uuid primary key default gen_random_uuid(),
    org_id         uuid references public.organizations (id),
    name           text not null,
    description    text,
    status         text not null default 'active',
    scoring_config jsonb not null default '{"win": 3, "draw": 1, "loss": 0}',
    starts_at      timestamptz,
    ends_at        timestamptz,
    created_at     timestamptz not null default now()
);

create table if not exists public.season_competitions (
    season_id      uuid not null references public.seasons (id),
    competition_id uuid not null references public.competitions (id),
    weight         double precision not null default 1.0,
    primary key (season_id, competition_id)
);

create table if not exists public.season_standings (
    id                   uuid primary key default gen_random_uuid(),
    season_id            uuid not null references public.seasons (id),
    wallet               text not null,
    points               integer not null default 0,
    wins                 integer not null default 0,
    losses               integer not null default 0,
    draws                integer not null default 0,
    competitions_entered integer not null default 0,
    updated_at           timestamptz not null default now(),
    unique (season_id, wallet)
);

create table if not exists public.bracket_matches (
    id             uuid primary key default gen_random_uuid(),
    competition_id uuid not null references public.competitions (id),
    round          integer not null,
    match_number   integer not null,
    bracket_type   text not null default 'winners',
    participant_a  text,
    participant_b  text,
    score_a        integer,
    score_b        integer,
    winner         text,
    status         text not null default 'pending',
    challenge_id   bigint,
    scheduled_at   timestamptz,
    completed_at   timestamptz,
    created_at     timestamptz not null default now()
);

create table if not exists public.match_disputes (
    id              uuid primary key default gen_random_uuid(),
    match_id        uuid not null references public.bracket_matches (id),
    competition_id  uuid not null references public.competitions (id),
    filed_by        text not null,
    reason          text not null,
    evidence_url    text,
    status          text not null default 'open',
    resolution_note text,
    resolved_by     text,
    created_at      timestamptz not null default now(),
    resolved_at     timestamptz
);

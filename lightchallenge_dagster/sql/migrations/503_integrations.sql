-- API keys, webhooks and white-labels, as the web app's database guide documents them. Nothing
-- in this package reads or writes them; they are here so that a new database is a whole one.

create table if not exists public.api_keys (
    id           uuid primary key default gen_random_uuid(),
    org_id       uuid not null references public.organizations (id),
    key_hash     text not null,
    key_prefix   text not null,
    label        text not null,
    scopes       text[] not null default '{}',
    rate_limit   integer not null default 1000,
    last_used_at timestamptz,
    expires_at   timestamptz,
    created_at   timestamptz not null default now(),
    revoked_at   timestamptz
);

create table if not exists public.webhooks (
    id         uuid primary key default gen_random_uuid(),
    org_id     uuid not null references public.organizations (id),
    url        text not null,
    secret     text not null,
    events     text[] not null default '{}',
    active     boolean not null default true,
    created_at timestamptz not null default now()
);

create table if not exists public.webhook_deliveries (
    id              uuid primary key default gen_random_uuid(),
    webhook_id      uuid not null references public.webhooks (id),
    event           text not null,
    payload         jsonb not null,
    response_status integer,
    response_body   text,
    attempt         integer not null default 1,
    delivered_at    timestamptz,
    next_retry_at   timestamptz,
    created_at      timestamptz not null default now()
);

create table if not exists public.whitelabel_configs (
    id            uuid primary key default gen_random_uuid(),
    org_id        uuid not null unique references public.organizations (id),
    custom_domain text,
    primary_color text default '#6B5CFF',
    logo_url      text,
    favicon_url   text,
    custom_css    text,
    footer_text   text,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now()
);

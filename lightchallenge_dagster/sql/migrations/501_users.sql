-- Notifications and profiles, as the web app's database guide documents them.

create table if not exists public.notifications (
    id         uuid primary key default gen_random_uuid(),
    wallet     text not null,
    type       text not null,
    title      text not null,
    body       text,
    data       jsonb not null default '{}',
    read       boolean not null default false,
    created_at timestamptz not null default now()
);

create table if not exists public.user_profiles (
    wallet       text primary key,
    display_name text,
    bio          text,
    avatar       bytea,
    avatar_mime  text default 'image/jpeg',
    avatar_hash  text,
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now()
);

-- Made unless the table has the same index, whatever its name.
do $$
begin
    if not exists (
        select 1 from pg_indexes where schemaname = 'public' and tablename = 'notifications'
          and indexdef like '%(lower(wallet), created_at DESC)'
    ) then
        create index notifications_wallet_created_at_idx
            on public.notifications (lower(wallet), created_at desc);
    end if;
    if not exists (
        select 1 from pg_indexes where schemaname = 'public' and tablename = 'notifications'
          and indexdef like '%(lower(wallet), read)'
    ) then
        create index notifications_wallet_read_idx on public.notifications (lower(wallet), read);
    end if;
end
$$;

-- public.achievement_mints: one row a token. AdminMinted names no type: the AchievementMinted
-- beside it does, or what achievementOf answered when the log was read. A type without a name in
-- the guide makes no row; its log says so in `problem`. A row that an earlier indexer wrote
-- without a token is completed, not doubled: the first mint of that type to that wallet is it.
with keys as materialized (
    select distinct token_id
    from touched_logs
    where event = any(cast(:events as text[]))
      and token_id::numeric <= 9223372036854775807
),
mints as materialized (
    select k.token_id, m.*,
           a.row_key is not null as was_known, a.before as kept,
           p.id, case when p.id is not null then to_jsonb(p) end as present
    from keys k
    left join lateral (
        select l.challenge_id, l.account as recipient,
               case coalesce(l.args ->> 'aType', l.snapshot ->> 'a_type')
                   when '0' then 'completion' when '1' then 'victory' end as achievement_type,
               l.tx_hash, l.block_number, l.log_index,
               to_timestamp(l.block_timestamp) as minted_at
        from pipeline.chain_logs l
        where l.args ->> 'tokenId' = k.token_id and l.chain_id = :chain_id
          and l.event in ('ChallengeAchievement.AchievementMinted',
                          'ChallengeAchievement.AdminMinted')
        order by l.args ->> 'aType' is null, l.block_number desc, l.log_index desc
        limit 1
    ) m on m.achievement_type is not null and m.challenge_id is not null
    left join lateral (
        select * from public.achievement_mints where token_id = k.token_id::bigint limit 1
    ) p on true
    left join lateral (
        select * from pipeline.adopted_rows
        where table_name = 'achievement_mints' and row_key = k.token_id
        limit 1
    ) a on true
),
tokenless as materialized (
    select m.token_id, o.id, o.present
    from (
        select *, row_number() over (partition by challenge_id, recipient, achievement_type
                                     order by block_number, log_index) as nth
        from mints
        where achievement_type is not null and id is null
    ) m
    cross join lateral (
        select p.id, to_jsonb(p) as present
        from public.achievement_mints p
        where p.token_id is null and p.challenge_id = m.challenge_id
          and lower(p.recipient) = m.recipient and p.achievement_type = m.achievement_type
        order by p.id
        offset m.nth - 1 limit 1
    ) o
),
rows as materialized (
    select m.token_id, coalesce(m.id, o.id) as id, m.was_known,
           case when m.was_known then m.kept else coalesce(m.present, o.present) end as before,
           m.challenge_id, m.recipient, m.achievement_type, m.tx_hash, m.block_number, m.minted_at
    from mints m
    left join tokenless o on o.token_id = m.token_id
),
adopted as (
    insert into pipeline.adopted_rows (table_name, row_key, before)
    select 'achievement_mints', token_id, before
    from rows
    where achievement_type is not null and not was_known
),
inserted as (
    insert into public.achievement_mints (
        token_id, challenge_id, recipient, achievement_type, tx_hash, block_number, minted_at)
    select token_id::bigint, challenge_id, recipient, achievement_type, tx_hash, block_number,
           minted_at
    from rows
    where achievement_type is not null and id is null
    returning 1
),
updated as (
    update public.achievement_mints t
    set token_id = r.token_id::bigint, challenge_id = r.challenge_id, recipient = r.recipient,
        achievement_type = r.achievement_type, tx_hash = r.tx_hash,
        block_number = r.block_number, minted_at = r.minted_at
    from rows r
    where t.id = r.id and r.achievement_type is not null
      and (t.token_id, t.challenge_id, t.recipient, t.achievement_type, t.tx_hash, t.block_number,
           t.minted_at)
        is distinct from (r.token_id::bigint, r.challenge_id, r.recipient, r.achievement_type,
                          r.tx_hash, r.block_number, r.minted_at)
    returning 1
),
forsaken as (
    select * from rows where achievement_type is null and was_known
),
restored as (
    update public.achievement_mints t
    set token_id = (f.before ->> 'token_id')::bigint,
        challenge_id = (f.before ->> 'challenge_id')::bigint,
        recipient = f.before ->> 'recipient',
        achievement_type = f.before ->> 'achievement_type',
        tx_hash = f.before ->> 'tx_hash',
        block_number = (f.before ->> 'block_number')::bigint,
        minted_at = (f.before ->> 'minted_at')::timestamptz
    from forsaken f
    where t.id = f.id and f.before is not null
    returning 1
),
gone as (
    delete from public.achievement_mints t
    using forsaken f
    where t.id = f.id and f.before is null
    returning 1
),
released as (
    delete from pipeline.adopted_rows a
    using forsaken f
    where a.table_name = 'achievement_mints' and a.row_key = f.token_id
)
select (select count(*) from inserted) + (select count(*) from updated)
     + (select count(*) from restored) + (select count(*) from gone)

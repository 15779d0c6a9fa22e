-- public.achievement_mints: one row a token. AdminMinted names no type: the AchievementMinted
-- beside it does, or what achievementOf answered when the log was read. A type without a name in
-- the guide makes no row.
with keys as (
    select distinct token_id
    from touched_logs
    where event in ('ChallengeAchievement.AchievementMinted', 'ChallengeAchievement.AdminMinted')
      and token_id::numeric <= 9223372036854775807
),
mints as (
    select distinct on (k.token_id)
           k.token_id, l.challenge_id, l.account as recipient,
           case coalesce(l.args ->> 'aType', l.snapshot ->> 'a_type')
               when '0' then 'completion' when '1' then 'victory' end as achievement_type,
           l.tx_hash, l.block_number, to_timestamp(l.block_timestamp) as minted_at
    from keys k
    join pipeline.chain_logs l
      on l.args ->> 'tokenId' = k.token_id and l.chain_id = :chain_id
    where l.event in ('ChallengeAchievement.AchievementMinted', 'ChallengeAchievement.AdminMinted')
    order by k.token_id, l.args ->> 'aType' is null, l.block_number desc, l.log_index desc
),
rows as (
    select k.token_id, p.id,
           a.row_key is not null as was_known,
           case when a.row_key is not null then a.before
                when p.id is not null then to_jsonb(p) end as before,
           m.challenge_id, m.recipient, m.achievement_type, m.tx_hash, m.block_number, m.minted_at
    from keys k
    left join mints m
      on m.token_id = k.token_id and m.achievement_type is not null and m.challenge_id is not null
    left join public.achievement_mints p on p.token_id = k.token_id::bigint
    left join pipeline.adopted_rows a
      on a.table_name = 'achievement_mints' and a.row_key = k.token_id
),
adopted as (
    insert into pipeline.adopted_rows (table_name, row_key, before)
    select 'achievement_mints', token_id, before
    from rows
    where achievement_type is not null and not was_known
    on conflict do nothing
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
    set challenge_id = r.challenge_id, recipient = r.recipient,
        achievement_type = r.achievement_type, tx_hash = r.tx_hash,
        block_number = r.block_number, minted_at = r.minted_at
    from rows r
    where t.id = r.id and r.achievement_type is not null
      and (t.challenge_id, t.recipient, t.achievement_type, t.tx_hash, t.block_number, t.minted_at)
        is distinct from (r.challenge_id, r.recipient, r.achievement_type, r.tx_hash,
                          r.block_number, r.minted_at)
    returning 1
),
forsaken as (
    select * from rows where achievement_type is null and was_known
),
restored as (
    update public.achievement_mints t
    set challenge_id = (f.before ->> 'challenge_id')::bigint,
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

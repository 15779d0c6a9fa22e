-- public.participants: everyone with a stake is an on-chain join. The row that evidence intake or
-- the web app wrote is completed; it comes back when the stake is orphaned.
with keys as materialized (
    select distinct challenge_id, account as subject
    from touched_logs
    where challenge_id is not null and account is not null
      and event = any(cast(:events as text[]))
),
rows as materialized (
    select k.challenge_id, k.subject, k.challenge_id || ':' || k.subject as row_key, p.id,
           a.row_key is not null as was_known,
           case when a.row_key is not null then a.before
                when p.id is not null then to_jsonb(p) end as before,
           s.tx_hash, to_timestamp(s.joined_ts) as joined_at
    from keys k
    left join lateral (
        select * from pipeline.stakes
        where challenge_id = k.challenge_id and subject = k.subject
        limit 1
    ) s on true
    left join lateral (
        select * from public.participants
        where challenge_id = k.challenge_id and lower(subject) = k.subject
        limit 1
    ) p on true
    left join lateral (
        select * from pipeline.adopted_rows
        where table_name = 'participants' and row_key = k.challenge_id || ':' || k.subject
        limit 1
    ) a on true
),
folded as materialized (
    -- A join from before the first indexed block stays the wallet's first one.
    select r.*,
           r.before ->> 'tx_hash' is not null
           and (r.before ->> 'joined_at')::timestamptz <= (
               select to_timestamp(b.timestamp)
               from pipeline.chain_blocks b
               where b.chain_id = :chain_id and b.number = :start_block - 1) as earlier
    from rows r
    where r.tx_hash is not null
),
adopted as (
    insert into pipeline.adopted_rows (table_name, row_key, before)
    select 'participants', row_key, before from folded where not was_known
),
written as (
    insert into public.participants as t (challenge_id, subject, tx_hash, joined_at, source)
    select challenge_id, subject,
           case when earlier then before ->> 'tx_hash' else tx_hash end,
           case when earlier then (before ->> 'joined_at')::timestamptz else joined_at end,
           'onchain_join'
    from folded
    on conflict (challenge_id, lower(subject)) do update set
        tx_hash = excluded.tx_hash, joined_at = excluded.joined_at, source = excluded.source,
        updated_at = now()
    where (t.tx_hash, t.joined_at, t.source)
        is distinct from (excluded.tx_hash, excluded.joined_at, excluded.source)
    returning 1
),
forsaken as (
    select r.*,
           exists (select 1 from public.evidence e
                   where e.challenge_id = r.challenge_id and lower(e.subject) = r.subject)
               as has_evidence
    from rows r
    where r.tx_hash is null and r.was_known
),
restored as (
    -- Evidence that came while the join stood made no row of its own, so it keeps this one.
    update public.participants t
    set tx_hash = f.before ->> 'tx_hash',
        joined_at = (f.before ->> 'joined_at')::timestamptz,
        source = coalesce(f.before ->> 'source', 'evidence_intake'),
        updated_at = now()
    from forsaken f
    where t.id = f.id and (f.before is not null or f.has_evidence)
    returning 1
),
gone as (
    delete from public.participants t
    using forsaken f
    where t.id = f.id and f.before is null and not f.has_evidence
    returning 1
),
released as (
    delete from pipeline.adopted_rows a
    using forsaken f
    where a.table_name = 'participants' and a.row_key = f.row_key
)
select (select count(*) from written) + (select count(*) from restored)
     + (select count(*) from gone)

-- public.challenges: status, chain_outcome and, where it is missing, tx_hash. Everything else of
-- an existing row is the web app's. A row seen on chain only is inserted with what the chain
-- knows, and goes again when its creation is orphaned, unless the web app has put words to it.
with keys as materialized (
    select challenge_id as id,
           -- Hashes of creations that are no more: where one was written, it goes with them.
           array_agg(tx_hash) filter (
               where orphaned and event = 'ChallengePay.ChallengeCreated') as orphaned_txs
    from touched_logs
    where challenge_id is not null and event = any(cast(:events as text[]))
    group by challenge_id
),
rows as materialized (
    select k.id,
           a.row_key is not null as was_known,
           t.id is not null as exists_now,
           c.tx_hash is not null as created,
           c.tx_hash is not null or e.status is not null or p.paused is not null as spoken_of,
           t.id is null
               or t.title is null and t.description is null and t.params is null
                  and t.proof is null and t.options is null and t.model_id is null
                  and t.model_hash is null as wordless,
           case when a.row_key is not null then a.before
                when t.id is not null then jsonb_build_object(
                    'status', t.status, 'chain_outcome', t.chain_outcome, 'tx_hash', t.tx_hash)
           end as before,
           t.status as status_now,
           k.orphaned_txs, c.account, c.snapshot, c.tx_hash, c.block_timestamp,
           e.status as ended, e.outcome, p.paused
    from keys k
    left join lateral (select * from public.challenges where id = k.id limit 1) t on true
    left join lateral (
        select * from pipeline.adopted_rows
        where table_name = 'challenges' and row_key = k.id::text
        limit 1
    ) a on true
    left join lateral (
        select * from pipeline.chain_logs
        where challenge_id = k.id and event = 'ChallengePay.ChallengeCreated'
          and chain_id = :chain_id and snapshot is not null
        order by block_number desc, log_index desc limit 1
    ) c on true
    left join lateral (
        select case when event = 'ChallengePay.Canceled' or args ->> 'status' = '2'
                    then 'Canceled' else 'Finalized' end as status,
               (args ->> 'outcome')::smallint as outcome
        from pipeline.chain_logs
        where challenge_id = k.id
          and event in ('ChallengePay.Finalized', 'ChallengePay.Canceled')
          and chain_id = :chain_id
          and (c.tx_hash is null
               or (block_number, log_index) > (c.block_number, c.log_index))
        order by block_number desc, log_index desc limit 1
    ) e on true
    left join lateral (
        select (args ->> 'paused')::boolean as paused
        from pipeline.chain_logs
        where challenge_id = k.id and event = 'ChallengePay.Paused'
          and chain_id = :chain_id
          and (c.tx_hash is null
               or (block_number, log_index) > (c.block_number, c.log_index))
        order by block_number desc, log_index desc limit 1
    ) p on true
),
folded as materialized (
    select r.id, r.created, r.exists_now, r.was_known, r.before,
           r.before is null and r.wordless as ours,
           case
               when lower(r.status_now) = 'rejected' then r.status_now
               when r.ended is not null then r.ended
               when lower(r.before ->> 'status') = 'finalized' then 'Finalized'
               when lower(r.before ->> 'status') in ('canceled', 'cancelled') then 'Canceled'
               when r.paused then 'Paused'
               when r.paused is null and lower(r.before ->> 'status') = 'paused' then 'Paused'
               else 'Active'
           end as status,
           coalesce(r.outcome, (r.before ->> 'chain_outcome')::smallint) as chain_outcome,
           coalesce(r.before ->> 'tx_hash', r.tx_hash) as tx_hash, r.orphaned_txs,
           r.account as subject,
           jsonb_build_object(
               'start', least((r.snapshot ->> 'start_ts')::numeric, 9223372036854775807),
               'end', least((r.snapshot ->> 'start_ts')::numeric
                            + (r.snapshot ->> 'duration')::numeric, 9223372036854775807)
           ) as timeline,
           jsonb_build_object(
               'stake', r.snapshot ->> 'stake',
               'currency', (r.snapshot ->> 'currency')::smallint,
               'token', lower(r.snapshot ->> 'token')
           ) as funds,
           to_timestamp(r.block_timestamp) as created_at
    from rows r
    where r.spoken_of and (r.exists_now or r.created) and (r.created or r.before is not null)
),
adopted as (
    insert into pipeline.adopted_rows (table_name, row_key, before)
    select 'challenges', id::text, before from folded where not was_known
),
inserted as (
    insert into public.challenges as t (
        id, subject, tx_hash, timeline, funds, status, chain_outcome, created_at, updated_at)
    select id, subject, tx_hash, timeline, funds, status, chain_outcome, created_at, now()
    from folded
    where not exists_now
    on conflict (id) do update set
        status = case when lower(t.status) = 'rejected' then t.status else excluded.status end,
        chain_outcome = excluded.chain_outcome,
        tx_hash = coalesce(t.tx_hash, excluded.tx_hash), updated_at = now()
    returning 1
),
updated as (
    update public.challenges t
    set status = f.status,
        chain_outcome = f.chain_outcome,
        tx_hash = coalesce(f.tx_hash,
                           case when t.tx_hash = any(f.orphaned_txs) then null else t.tx_hash end),
        subject = case when f.ours then f.subject else t.subject end,
        timeline = case when f.ours then f.timeline else t.timeline end,
        funds = case when f.ours then f.funds else t.funds end,
        created_at = case when f.ours then f.created_at else t.created_at end,
        updated_at = now()
    from folded f
    where t.id = f.id and f.exists_now
      and ((t.status, t.chain_outcome) is distinct from (f.status, f.chain_outcome)
           or t.tx_hash is distinct from f.tx_hash
               and (f.tx_hash is not null or t.tx_hash = any(f.orphaned_txs))
           or f.ours and (t.subject, t.timeline, t.funds, t.created_at)
               is distinct from (f.subject, f.timeline, f.funds, f.created_at))
    returning 1
),
forsaken as (
    select * from rows
    where was_known
      and not (spoken_of and (exists_now or created) and (created or before is not null))
),
restored as (
    update public.challenges t
    set status = case when lower(t.status) = 'rejected' then t.status
                      when f.before is null then 'pending'
                      else f.before ->> 'status' end,
        chain_outcome = (f.before ->> 'chain_outcome')::smallint,
        tx_hash = f.before ->> 'tx_hash',
        updated_at = now()
    from forsaken f
    where t.id = f.id
      and (f.before is not null or not f.wordless
           or exists (select 1 from public.reminders m where m.challenge_id = t.id))
    returning 1
),
gone as (
    delete from public.challenges t
    using forsaken f
    where t.id = f.id and f.before is null and f.wordless
      and not exists (select 1 from public.reminders m where m.challenge_id = t.id)
    returning 1
),
released as (
    delete from pipeline.adopted_rows a
    using forsaken f
    where a.table_name = 'challenges' and a.row_key = f.id::text
)
select (select count(*) from inserted) + (select count(*) from updated)
     + (select count(*) from restored) + (select count(*) from gone)

-- public.challenges: status, chain_outcome and, where it is missing, tx_hash. Everything else of
-- an existing row is the web app's. A row seen on chain only is inserted with what the chain
-- knows, and goes again when its creation is orphaned, unless the web app has put words to it.
with keys as (
    select distinct challenge_id as id
    from touched_logs
    where challenge_id is not null
      and event in ('ChallengePay.ChallengeCreated', 'ChallengePay.Finalized',
                    'ChallengePay.Canceled', 'ChallengePay.Paused')
),
events as (
    select k.id, l.event, l.block_number, l.log_index, l.block_timestamp, l.tx_hash, l.account,
           l.args, l.snapshot
    from keys k
    join pipeline.chain_logs l on l.chain_id = :chain_id and l.challenge_id = k.id
    where l.event in ('ChallengePay.ChallengeCreated', 'ChallengePay.Finalized',
                      'ChallengePay.Canceled', 'ChallengePay.Paused')
),
created as (
    select distinct on (id) *
    from events
    where event = 'ChallengePay.ChallengeCreated' and snapshot is not null
    order by id, block_number desc, log_index desc
),
later as (
    select e.*
    from events e
    left join created c on c.id = e.id
    where e.event <> 'ChallengePay.ChallengeCreated'
      and (c.id is null or (e.block_number, e.log_index) > (c.block_number, c.log_index))
),
ending as (
    select distinct on (id) id,
           case when event = 'ChallengePay.Canceled' or args ->> 'status' = '2'
                then 'Canceled' else 'Finalized' end as status,
           (args ->> 'outcome')::smallint as outcome
    from later
    where event in ('ChallengePay.Finalized', 'ChallengePay.Canceled')
    order by id, block_number desc, log_index desc
),
pausing as (
    select distinct on (id) id, (args ->> 'paused')::boolean as paused
    from later
    where event = 'ChallengePay.Paused'
    order by id, block_number desc, log_index desc
),
present as (
    select c.*,
           c.title is null and c.description is null and c.params is null and c.proof is null
           and c.options is null and c.model_id is null and c.model_hash is null as wordless
    from keys k
    join public.challenges c on c.id = k.id
),
known as (
    select k.id, a.before
    from keys k
    join pipeline.adopted_rows a on a.table_name = 'challenges' and a.row_key = k.id::text
),
rows as (
    select k.id,
           n.id is not null as was_known,
           p.id is not null as exists_now,
           c.id is not null as created,
           c.id is not null or l.id is not null as spoken_of,
           coalesce(p.wordless, true) as wordless,
           case when n.id is not null then n.before
                when p.id is not null then jsonb_build_object(
                    'status', p.status, 'chain_outcome', p.chain_outcome, 'tx_hash', p.tx_hash)
           end as before,
           p.status as status_now
    from keys k
    left join present p on p.id = k.id
    left join known n on n.id = k.id
    left join created c on c.id = k.id
    left join (select distinct id from later) l on l.id = k.id
),
folded as (
    select r.id, r.created, r.exists_now, r.was_known, r.before,
           r.before is null and r.wordless as ours,
           case
               when lower(r.status_now) = 'rejected' then r.status_now
               when e.status is not null then e.status
               when lower(r.before ->> 'status') = 'finalized' then 'Finalized'
               when lower(r.before ->> 'status') in ('canceled', 'cancelled') then 'Canceled'
               when p.paused then 'Paused'
               when p.paused is null and lower(r.before ->> 'status') = 'paused' then 'Paused'
               else 'Active'
           end as status,
           coalesce(e.outcome, (r.before ->> 'chain_outcome')::smallint) as chain_outcome,
           coalesce(r.before ->> 'tx_hash', c.tx_hash) as tx_hash,
           c.account as subject,
           jsonb_build_object(
               'start', least((c.snapshot ->> 'start_ts')::numeric, 9223372036854775807),
               'end', least((c.snapshot ->> 'start_ts')::numeric
                            + (c.snapshot ->> 'duration')::numeric, 9223372036854775807)
           ) as timeline,
           jsonb_build_object(
               'stake', c.snapshot ->> 'stake',
               'currency', (c.snapshot ->> 'currency')::smallint,
               'token', lower(c.snapshot ->> 'token')
           ) as funds,
           to_timestamp(c.block_timestamp) as created_at
    from rows r
    left join created c on c.id = r.id
    left join ending e on e.id = r.id
    left join pausing p on p.id = r.id
    where r.spoken_of and (r.exists_now or r.created) and (r.created or r.before is not null)
),
adopted as (
    insert into pipeline.adopted_rows (table_name, row_key, before)
    select 'challenges', id::text, before from folded where not was_known
    on conflict do nothing
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
        tx_hash = coalesce(f.tx_hash, t.tx_hash),
        subject = case when f.ours then f.subject else t.subject end,
        timeline = case when f.ours then f.timeline else t.timeline end,
        funds = case when f.ours then f.funds else t.funds end,
        created_at = case when f.ours then f.created_at else t.created_at end,
        updated_at = now()
    from folded f
    where t.id = f.id and f.exists_now
      and ((t.status, t.chain_outcome, t.tx_hash)
               is distinct from (f.status, f.chain_outcome, coalesce(f.tx_hash, t.tx_hash))
           or f.ours and (t.subject, t.timeline, t.funds, t.created_at)
               is distinct from (f.subject, f.timeline, f.funds, f.created_at))
    returning 1
),
forsaken as (
    select * from rows r
    where r.was_known and not exists (select 1 from folded f where f.id = r.id)
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

-- public.claims: one row a wallet, challenge and type; the amounts of several events add up and
-- the events are listed in metadata. What an existing row counted before the first indexed block
-- stays counted.
with kinds (event, claim_type) as (
    values
        ('ChallengePay.WinnerClaimed', 'winner'),
        ('ChallengePay.LoserClaimed', 'loser'),
        ('ChallengePay.RefundClaimed', 'refund'),
        ('Treasury.ClaimedETH', 'treasury_eth'),
        ('LegacyChallengePay.PrincipalClaimed', 'principal'),
        ('LegacyChallengePay.CashbackClaimed', 'cashback'),
        ('LegacyChallengePay.ValidatorClaimed', 'validator_reward'),
        ('LegacyChallengePay.ValidatorRejectClaimed', 'validator_reject'),
        ('LegacyChallengePay.RejectCreatorClaimed', 'reject_creator'),
        ('LegacyChallengePay.RejectContributionClaimed', 'reject_contribution')
),
keys as materialized (
    select distinct t.challenge_id, t.account as subject, k.claim_type, k.event
    from touched_logs t
    join kinds k on k.event = t.event
    where t.challenge_id is not null and t.account is not null
),
rows as materialized (
    select k.challenge_id, k.subject, k.claim_type,
           k.challenge_id || ':' || k.subject || ':' || k.claim_type as row_key, c.id,
           a.row_key is not null as was_known,
           case when a.row_key is not null then a.before
                when c.id is not null then to_jsonb(c) end as before,
           s.*
    from keys k
    cross join lateral (
        select sum((l.args ->> 'amount')::numeric) as amount_wei,
               array_agg(l.tx_hash order by l.block_number, l.log_index) as tx_hashes,
               max(l.block_number) as block_number,
               to_timestamp(max(l.block_timestamp)) as claimed_at,
               jsonb_build_object('events', jsonb_agg(jsonb_build_object(
                   'event', l.event, 'contract', l.address, 'amount_wei', l.args ->> 'amount',
                   'tx_hash', l.tx_hash, 'block_number', l.block_number, 'log_index', l.log_index
               ) order by l.block_number, l.log_index)) as listed
        from pipeline.chain_logs l
        where l.chain_id = :chain_id and l.challenge_id = k.challenge_id
          and l.account = k.subject and l.event = k.event
    ) s
    left join lateral (
        select * from public.claims
        where challenge_id = k.challenge_id and lower(subject) = k.subject
          and claim_type = k.claim_type
        limit 1
    ) c on true
    left join lateral (
        select * from pipeline.adopted_rows
        where table_name = 'claims'
          and row_key = k.challenge_id || ':' || k.subject || ':' || k.claim_type
        limit 1
    ) a on true
),
folded as materialized (
    select r.*,
           r.tx_hashes[cardinality(r.tx_hashes)] as tx_hash,
           r.amount_wei + case
               when (r.before ->> 'block_number')::bigint < :start_block
                    and coalesce(lower(r.before ->> 'tx_hash'), '') <> all (r.tx_hashes)
               then (r.before ->> 'amount_wei')::numeric else 0 end as total,
           case when jsonb_typeof(r.before -> 'metadata') = 'object'
                then (r.before -> 'metadata') || r.listed else r.listed end as metadata
    from rows r
    where r.amount_wei is not null
),
adopted as (
    insert into pipeline.adopted_rows (table_name, row_key, before)
    select 'claims', row_key, before from folded where not was_known
),
written as (
    insert into public.claims as t (
        challenge_id, subject, claim_type, amount_wei, bucket_id, tx_hash, block_number, source,
        metadata, claimed_at)
    select challenge_id, subject, claim_type, total, challenge_id, tx_hash, block_number, 'indexer',
           metadata, claimed_at
    from folded
    on conflict (challenge_id, lower(subject), claim_type) do update set
        amount_wei = excluded.amount_wei, bucket_id = excluded.bucket_id,
        tx_hash = excluded.tx_hash, block_number = excluded.block_number,
        source = excluded.source, metadata = excluded.metadata, claimed_at = excluded.claimed_at,
        updated_at = now()
    where (t.amount_wei, t.bucket_id, t.tx_hash, t.block_number, t.source, t.metadata, t.claimed_at)
        is distinct from (excluded.amount_wei, excluded.bucket_id, excluded.tx_hash,
                          excluded.block_number, excluded.source, excluded.metadata,
                          excluded.claimed_at)
    returning 1
),
forsaken as (
    select * from rows where amount_wei is null and was_known
),
restored as (
    update public.claims t
    set amount_wei = (f.before ->> 'amount_wei')::numeric,
        bucket_id = (f.before ->> 'bucket_id')::bigint,
        tx_hash = f.before ->> 'tx_hash',
        block_number = (f.before ->> 'block_number')::bigint,
        source = f.before ->> 'source',
        metadata = nullif(f.before -> 'metadata', 'null'::jsonb),
        claimed_at = (f.before ->> 'claimed_at')::timestamptz,
        updated_at = now()
    from forsaken f
    where t.id = f.id and f.before is not null
    returning 1
),
gone as (
    delete from public.claims t
    using forsaken f
    where t.id = f.id and f.before is null
    returning 1
),
released as (
    delete from pipeline.adopted_rows a
    using forsaken f
    where a.table_name = 'claims' and a.row_key = f.row_key
)
select (select count(*) from written) + (select count(*) from restored)
     + (select count(*) from gone)

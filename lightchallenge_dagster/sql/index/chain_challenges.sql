-- pipeline.chain_challenges: the snapshot beside ChallengeCreated, then what happened since.
-- Events before the creation do not count: anyone may finalize an id that does not exist yet.
with keys as materialized (
    select distinct challenge_id
    from touched_logs
    where challenge_id is not null and event = any(cast(:events as text[]))
),
folded as materialized (
    -- The contract takes any uint256 for a time; 9223372036854775807 stands for "never".
    select k.challenge_id,
           cast(:chain_id as bigint) as chain_id,
           lower(c.snapshot ->> 'creator') as creator,
           (c.snapshot ->> 'kind')::smallint as kind,
           (c.snapshot ->> 'currency')::smallint as currency,
           lower(c.snapshot ->> 'token') as token,
           (c.snapshot ->> 'stake')::numeric as stake_wei,
           least((c.snapshot ->> 'join_closes_ts')::numeric, 9223372036854775807)::bigint
               as join_closes_ts,
           least((c.snapshot ->> 'start_ts')::numeric, 9223372036854775807)::bigint as start_ts,
           least((c.snapshot ->> 'start_ts')::numeric + (c.snapshot ->> 'duration')::numeric,
                 9223372036854775807)::bigint as end_ts,
           least(coalesce(v.args ->> 'proofDeadlineTs', c.snapshot ->> 'proof_deadline_ts')::numeric,
                 9223372036854775807)::bigint as proof_deadline_ts,
           least((c.snapshot ->> 'max_participants')::numeric, 9223372036854775807)::bigint
               as max_participants,
           lower(coalesce(v.args ->> 'verifier', c.snapshot ->> 'verifier')) as verifier,
           c.args ->> 'externalId' as external_id,
           coalesce(e.status, case when p.paused then 'Paused' else 'Active' end) as status,
           e.outcome,
           c.block_number as created_block,
           c.tx_hash as created_tx
    from keys k
    left join lateral (
        select * from pipeline.chain_logs
        where challenge_id = k.challenge_id and event = 'ChallengePay.ChallengeCreated'
          and chain_id = :chain_id and snapshot is not null
        order by block_number desc, log_index desc limit 1
    ) c on true
    left join lateral (
        select case when event = 'ChallengePay.Canceled' or args ->> 'status' = '2'
                    then 'Canceled' else 'Finalized' end as status,
               (args ->> 'outcome')::smallint as outcome
        from pipeline.chain_logs
        where challenge_id = k.challenge_id
          and event in ('ChallengePay.Finalized', 'ChallengePay.Canceled')
          and chain_id = :chain_id
          and (block_number, log_index) > (c.block_number, c.log_index)
        order by block_number desc, log_index desc limit 1
    ) e on true
    left join lateral (
        select (args ->> 'paused')::boolean as paused
        from pipeline.chain_logs
        where challenge_id = k.challenge_id and event = 'ChallengePay.Paused'
          and chain_id = :chain_id
          and (block_number, log_index) > (c.block_number, c.log_index)
        order by block_number desc, log_index desc limit 1
    ) p on true
    left join lateral (
        select args
        from pipeline.chain_logs
        where challenge_id = k.challenge_id and event = 'ChallengePay.VerificationConfigUpdated'
          and chain_id = :chain_id
          and (block_number, log_index) > (c.block_number, c.log_index)
        order by block_number desc, log_index desc limit 1
    ) v on true
),
written as (
    insert into pipeline.chain_challenges as t (
        challenge_id, chain_id, creator, kind, currency, token, stake_wei, join_closes_ts, start_ts,
        end_ts, proof_deadline_ts, max_participants, verifier, external_id, status, outcome,
        created_block, created_tx)
    select * from folded where created_tx is not null
    on conflict (challenge_id) do update set
        chain_id = excluded.chain_id, creator = excluded.creator, kind = excluded.kind,
        currency = excluded.currency, token = excluded.token, stake_wei = excluded.stake_wei,
        join_closes_ts = excluded.join_closes_ts, start_ts = excluded.start_ts,
        end_ts = excluded.end_ts, proof_deadline_ts = excluded.proof_deadline_ts,
        max_participants = excluded.max_participants, verifier = excluded.verifier,
        external_id = excluded.external_id, status = excluded.status, outcome = excluded.outcome,
        created_block = excluded.created_block, created_tx = excluded.created_tx
    where (t.*) is distinct from (excluded.*)
    returning 1
),
gone as (
    delete from pipeline.chain_challenges t
    using folded f
    where t.challenge_id = f.challenge_id and f.created_tx is null
    returning 1
)
select (select count(*) from written) + (select count(*) from gone)

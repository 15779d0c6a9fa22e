-- pipeline.stakes: what each wallet put in. The creator's stake is a join without a Joined event;
-- contribOf was read at the end of some block, so joins of the creator's up to there are in it.
with keys as materialized (
    select distinct challenge_id, account as subject
    from touched_logs
    where challenge_id is not null and account is not null
      and event = any(cast(:events as text[]))
),
folded as materialized (
    select k.challenge_id, k.subject, f.*
    from keys k
    cross join lateral (
        select coalesce(sum(joined), 0)
                   + coalesce(greatest(max(contribution)
                       - coalesce(sum(joined) filter (where block_number <= read_at), 0), 0), 0)
                   as amount_wei,
               (array_agg(block_timestamp order by block_number, log_index))[1] as joined_ts,
               (array_agg(tx_hash order by block_number, log_index))[1] as tx_hash
        from (
            select block_number, log_index, block_timestamp, tx_hash,
                   case when event = 'ChallengePay.Joined' then (args ->> 'amount')::numeric end
                       as joined,
                   (snapshot ->> 'creator_contribution')::numeric as contribution,
                   max(case when event = 'ChallengePay.ChallengeCreated'
                            then coalesce((snapshot ->> 'block_number')::numeric, block_number)
                       end) over () as read_at
            from pipeline.chain_logs
            where chain_id = :chain_id and challenge_id = k.challenge_id and account = k.subject
              and event in ('ChallengePay.ChallengeCreated', 'ChallengePay.Joined')
        ) e
        where joined is not null or contribution > 0
    ) f
),
written as (
    insert into pipeline.stakes as t (challenge_id, subject, amount_wei, joined_ts, tx_hash)
    select challenge_id, subject, amount_wei, joined_ts, tx_hash
    from folded
    where tx_hash is not null
    on conflict (challenge_id, subject) do update set
        amount_wei = excluded.amount_wei, joined_ts = excluded.joined_ts, tx_hash = excluded.tx_hash
    where (t.*) is distinct from (excluded.*)
    returning 1
),
gone as (
    delete from pipeline.stakes t
    using folded f
    where t.challenge_id = f.challenge_id and t.subject = f.subject and f.tx_hash is null
    returning 1
)
select (select count(*) from written) + (select count(*) from gone)

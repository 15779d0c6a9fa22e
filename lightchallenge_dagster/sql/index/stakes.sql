-- pipeline.stakes: what each wallet put in. The creator's stake is a join without a Joined event;
-- contribOf was read at the end of some block, so joins of the creator's up to there are in it.
with keys as (
    select distinct challenge_id, account as subject
    from touched_logs
    where challenge_id is not null and account is not null
      and event in ('ChallengePay.ChallengeCreated', 'ChallengePay.Joined')
),
events as (
    select k.challenge_id, k.subject, l.block_number, l.log_index, l.block_timestamp, l.tx_hash,
           (l.args ->> 'amount')::numeric as joined,
           (l.snapshot ->> 'creator_contribution')::numeric as contribution,
           max(case when l.event = 'ChallengePay.ChallengeCreated'
                    then coalesce((l.snapshot ->> 'block_number')::numeric, l.block_number) end)
               over (partition by k.challenge_id, k.subject) as read_at
    from keys k
    join pipeline.chain_logs l
      on l.chain_id = :chain_id and l.challenge_id = k.challenge_id and l.account = k.subject
    where l.event in ('ChallengePay.ChallengeCreated', 'ChallengePay.Joined')
),
folded as (
    select challenge_id, subject,
           coalesce(sum(joined), 0)
               + coalesce(greatest(max(contribution)
                   - coalesce(sum(joined) filter (where block_number <= read_at), 0), 0), 0)
               as amount_wei,
           (array_agg(block_timestamp order by block_number, log_index))[1] as joined_ts,
           (array_agg(tx_hash order by block_number, log_index))[1] as tx_hash
    from events
    where joined is not null or contribution > 0
    group by challenge_id, subject
),
written as (
    insert into pipeline.stakes as t (challenge_id, subject, amount_wei, joined_ts, tx_hash)
    select challenge_id, subject, amount_wei, joined_ts, tx_hash from folded
    on conflict (challenge_id, subject) do update set
        amount_wei = excluded.amount_wei, joined_ts = excluded.joined_ts, tx_hash = excluded.tx_hash
    where (t.*) is distinct from (excluded.*)
    returning 1
),
gone as (
    delete from pipeline.stakes t
    using keys k
    where t.challenge_id = k.challenge_id and t.subject = k.subject
      and not exists (select 1 from folded f
                      where f.challenge_id = k.challenge_id and f.subject = k.subject)
    returning 1
)
select (select count(*) from written) + (select count(*) from gone)

-- pipeline.stakes: what each wallet put in. The creator's stake is a join without a Joined event;
-- contribOf was read at the end of some block, so joins of the creator's up to there are in it.
with keys as (
    select distinct challenge_id, account as subject
    from touched_logs
    where challenge_id is not null and account is not null
      and event in ('ChallengePay.ChallengeCreated', 'ChallengePay.Joined')
),
joins as (
    select k.challenge_id, k.subject, l.block_number, l.log_index, l.block_timestamp, l.tx_hash,
           (l.args ->> 'amount')::numeric as amount
    from keys k
    join pipeline.chain_logs l
      on l.chain_id = :chain_id and l.challenge_id = k.challenge_id and l.account = k.subject
    where l.event = 'ChallengePay.Joined'
),
creations as (
    select k.challenge_id, k.subject, l.block_number, l.log_index, l.block_timestamp, l.tx_hash,
           (l.snapshot ->> 'creator_contribution')::numeric - coalesce((
               select sum(j.amount)
               from joins j
               where j.challenge_id = k.challenge_id and j.subject = k.subject
                 and j.block_number <= coalesce((l.snapshot ->> 'block_number')::numeric,
                                                l.block_number)
           ), 0) as amount
    from keys k
    join pipeline.chain_logs l
      on l.chain_id = :chain_id and l.challenge_id = k.challenge_id and l.account = k.subject
    where l.event = 'ChallengePay.ChallengeCreated' and l.snapshot is not null
),
events as (
    select * from joins
    union all
    select * from creations where amount > 0
),
folded as (
    select challenge_id, subject, sum(amount) as amount_wei,
           (array_agg(block_timestamp order by block_number, log_index))[1] as joined_ts,
           (array_agg(tx_hash order by block_number, log_index))[1] as tx_hash
    from events
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

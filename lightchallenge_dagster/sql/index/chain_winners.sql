-- pipeline.chain_winners: WinnerMarked, the only event that proves a winner.
with keys as materialized (
    select distinct challenge_id, account as subject
    from touched_logs
    where challenge_id is not null and account is not null
      and event = any(cast(:events as text[]))
),
folded as materialized (
    select k.challenge_id, k.subject, l.block_number, l.tx_hash
    from keys k
    left join lateral (
        select block_number, tx_hash
        from pipeline.chain_logs
        where chain_id = :chain_id and challenge_id = k.challenge_id and account = k.subject
          and event = 'ChallengePay.WinnerMarked'
        order by block_number, log_index
        limit 1
    ) l on true
),
written as (
    insert into pipeline.chain_winners as t (challenge_id, subject, block_number, tx_hash)
    select challenge_id, subject, block_number, tx_hash
    from folded
    where tx_hash is not null
    on conflict (challenge_id, subject) do update set
        block_number = excluded.block_number, tx_hash = excluded.tx_hash
    where (t.*) is distinct from (excluded.*)
    returning 1
),
gone as (
    delete from pipeline.chain_winners t
    using folded f
    where t.challenge_id = f.challenge_id and t.subject = f.subject and f.tx_hash is null
    returning 1
)
select (select count(*) from written) + (select count(*) from gone)

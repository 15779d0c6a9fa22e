-- pipeline.chain_winners: WinnerMarked, the only event that proves a winner.
with keys as (
    select distinct challenge_id, account as subject
    from touched_logs
    where challenge_id is not null and account is not null and event = 'ChallengePay.WinnerMarked'
),
folded as (
    select distinct on (k.challenge_id, k.subject)
           k.challenge_id, k.subject, l.block_number, l.tx_hash
    from keys k
    join pipeline.chain_logs l
      on l.chain_id = :chain_id and l.challenge_id = k.challenge_id and l.account = k.subject
    where l.event = 'ChallengePay.WinnerMarked'
    order by k.challenge_id, k.subject, l.block_number, l.log_index
),
written as (
    insert into pipeline.chain_winners as t (challenge_id, subject, block_number, tx_hash)
    select * from folded
    on conflict (challenge_id, subject) do update set
        block_number = excluded.block_number, tx_hash = excluded.tx_hash
    where (t.*) is distinct from (excluded.*)
    returning 1
),
gone as (
    delete from pipeline.chain_winners t
    using keys k
    where t.challenge_id = k.challenge_id and t.subject = k.subject
      and not exists (select 1 from folded f
                      where f.challenge_id = k.challenge_id and f.subject = k.subject)
    returning 1
)
select (select count(*) from written) + (select count(*) from gone)

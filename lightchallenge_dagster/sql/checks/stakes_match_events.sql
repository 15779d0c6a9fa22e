-- Joined events and the creator's own stake (the snapshot beside ChallengeCreated), added up again.
with events as (
    select challenge_id, account as subject, (args ->> 'amount')::numeric as amount_wei
      from pipeline.chain_logs
     where event = 'ChallengePay.Joined'
    union all
    select challenge_id, account, (snapshot ->> 'creator_contribution')::numeric
      from pipeline.chain_logs
     where event = 'ChallengePay.ChallengeCreated'
), sums as (
    select challenge_id, subject, sum(amount_wei) as amount_wei
      from events
     group by challenge_id, subject
    having sum(amount_wei) > 0
)
select coalesce(e.challenge_id, s.challenge_id) as challenge_id,
       coalesce(e.subject, s.subject) as subject,
       s.amount_wei as stored_wei, e.amount_wei as events_wei
  from sums e
  full join pipeline.stakes s on s.challenge_id = e.challenge_id and s.subject = e.subject
 where s.amount_wei is distinct from e.amount_wei
 order by 1, 2

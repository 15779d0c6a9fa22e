-- Every evidence row of some wallets, oldest first, without the data.
select e.id, e.challenge_id, lower(e.subject) as subject, e.created_at
  from unnest(cast(:challenge_ids as bigint[]), cast(:subjects as text[])) as w (challenge_id, subject)
  join public.evidence e on e.challenge_id = w.challenge_id and lower(e.subject) = w.subject
 order by e.challenge_id, lower(e.subject), e.created_at, e.id

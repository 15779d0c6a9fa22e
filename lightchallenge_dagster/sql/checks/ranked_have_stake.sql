select r.challenge_id, r.subject, r.rank, s.amount_wei, v.score
  from public.rankings r
  left join pipeline.stakes s on s.challenge_id = r.challenge_id and s.subject = r.subject
  left join public.verdicts v on v.challenge_id = r.challenge_id and lower(v.subject) = r.subject
 where s.subject is null or s.amount_wei <= 0 or v.id is null
 order by r.challenge_id, r.rank

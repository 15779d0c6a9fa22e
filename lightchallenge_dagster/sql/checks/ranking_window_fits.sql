-- The ranking has to close before the challenge ends, because the proof deadline leaves no time
-- after it: whoever leads then is paid.
select p.challenge_id, p.ends_at, p.proof_deadline, p.ranking_closes_at
  from pipeline.challenge_plans p
  join pipeline.chain_challenges c using (challenge_id)
 where p.mode = 'competitive'
   and p.ranking_closes_at < p.ends_at
   and c.status in ('Active', 'Paused')
 order by p.proof_deadline

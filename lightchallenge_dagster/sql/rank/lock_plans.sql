-- Plans that payments are about to be ordered by: a new one waits for this transaction's end, so that
-- all of its statements see one mode, and a rule that can be read or not.
select p.challenge_id
  from pipeline.challenge_plans p
 where p.challenge_id = any(cast(:challenge_ids as bigint[]))
 order by p.challenge_id
   for share of p

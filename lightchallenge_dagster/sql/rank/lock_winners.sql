-- Verdicts that are about to become transactions: a judgement of them waits for this one's end.
select v.challenge_id, lower(v.subject) as subject
  from public.verdicts v
 where v.challenge_id = any(cast(:challenge_ids as bigint[]))
 order by v.id
   for update of v

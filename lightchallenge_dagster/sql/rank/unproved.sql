-- Verdicts to be ranked whose evidence is not there. Where a database keeps one row a provider, later
-- evidence takes the place of the one that was judged: that is replaced, not lost.
select v.challenge_id, lower(v.subject) as subject, v.evidence_hash
  from public.verdicts v
  join pipeline.stakes t on t.challenge_id = v.challenge_id and t.subject = lower(v.subject)
   and t.amount_wei > 0
 where v.challenge_id = any(cast(:challenge_ids as bigint[]))
   and v.pass and v.score is not null
   and not exists (select 1 from public.evidence e
                    where e.challenge_id = v.challenge_id and lower(e.subject) = lower(v.subject)
                      and (e.evidence_hash = v.evidence_hash
                           or (e.updated_at > e.created_at and e.updated_at > v.updated_at)))
 order by v.challenge_id, lower(v.subject)

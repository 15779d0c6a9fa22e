-- Who is ranked: stake on chain, a pass of their own and a score. Once a ranking closed, the own
-- pass is the one kept beside the outcome, or losers would drop out of it.
select p.challenge_id, t.subject, v.score, v.created_at, p.top_n
  from pipeline.challenge_plans p
  join pipeline.stakes t on t.challenge_id = p.challenge_id and t.amount_wei > 0
  join public.verdicts v on v.challenge_id = p.challenge_id and lower(v.subject) = t.subject
 where p.mode = 'competitive'
   and p.challenge_id = any(cast(:challenge_ids as bigint[]))
   and v.score is not null
   and case when v.metadata ? 'ranking' and v.metadata #> '{evaluation,pass}' in ('true', 'false')
            then v.metadata #> '{evaluation,pass}' = 'true'
            else v.pass end
 order by p.challenge_id, t.subject

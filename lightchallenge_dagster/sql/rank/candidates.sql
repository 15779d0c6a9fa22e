-- Who is ranked: stake on chain, a pass of their own and a score. Once a ranking closed
-- (:settled), the own pass is the one kept beside the outcome, or losers would drop out of it. A
-- score is text here: numeric holds more than can be compared exactly. Each table is narrowed by
-- itself and then joined whole: by look-ups, a row at a time, a large day takes five times as long.
select t.challenge_id, t.subject, trim_scale(v.score)::text as score,
       case when isfinite(v.created_at)
            then (extract(epoch from v.created_at) * 1000000)::bigint end as created_at, p.top_n,
       pipeline.ranking_inputs_hash(t.subject, v.score, v.created_at, p.top_n) as inputs_hash
  from pipeline.challenge_plans p
  join pipeline.stakes t on t.challenge_id = p.challenge_id and t.amount_wei > 0
   and t.challenge_id = any(cast(:challenge_ids as bigint[]))
  join public.verdicts v on v.challenge_id = t.challenge_id and lower(v.subject) = t.subject
   and v.challenge_id = any(cast(:challenge_ids as bigint[]))
 where p.mode = 'competitive'
   and p.challenge_id = any(cast(:challenge_ids as bigint[]))
   and v.score is not null
   and case when :settled and v.metadata ? 'ranking'
             and v.metadata #> '{evaluation,pass}' in ('true', 'false')
            then v.metadata #> '{evaluation,pass}' = 'true'
            else v.pass end

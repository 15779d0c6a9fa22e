-- Who is ranked: stake on chain, a pass of their own and a score. Once a ranking closed, the own
-- pass is the one kept beside the outcome, or losers would drop out of it. A score is text here:
-- numeric holds more than can be compared exactly. Each table is narrowed by itself and then joined
-- whole: by look-ups, a row at a time, a large day takes five times as long.
with proved as (
    select distinct e.challenge_id, lower(e.subject) as subject, e.evidence_hash
      from public.evidence e
     where e.challenge_id = any(cast(:challenge_ids as bigint[]))
)
select p.challenge_id, t.subject, trim_scale(v.score)::text as score,
       (extract(epoch from v.created_at) * 1000000)::bigint as created_at, p.top_n,
       case when e.challenge_id is null then v.evidence_hash end as lost_evidence
  from pipeline.challenge_plans p
  join pipeline.stakes t on t.challenge_id = p.challenge_id and t.amount_wei > 0
   and t.challenge_id = any(cast(:challenge_ids as bigint[]))
  join public.verdicts v on v.challenge_id = p.challenge_id and lower(v.subject) = t.subject
   and v.challenge_id = any(cast(:challenge_ids as bigint[]))
  left join proved e
    on e.challenge_id = p.challenge_id and e.subject = t.subject
   and e.evidence_hash = v.evidence_hash
 where p.mode = 'competitive'
   and p.challenge_id = any(cast(:challenge_ids as bigint[]))
   and v.score is not null
   and case when v.metadata ? 'ranking' and v.metadata #> '{evaluation,pass}' in ('true', 'false')
            then v.metadata #> '{evaluation,pass}' = 'true'
            else v.pass end

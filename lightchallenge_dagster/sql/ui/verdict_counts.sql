-- The verdicts of some partitions counted three ways in one pass: altogether, by who judged whose
-- records, and by the UTC day of the evidence. `passed` is the outcome; `outranked` passed by their
-- evidence and lost a closed ranking. Of many providers the most frequent, of many days the newest.
with ours as (
    select v.*, p.ends_at, p.proof_deadline
      from pipeline.challenge_plans p
      join public.verdicts v on v.challenge_id = p.challenge_id
     where p.partition_key = any(cast(:partitions as text[]))
     union all
    select v.*, null, null
      from public.verdicts v
     where 'unscheduled' = any(cast(:partitions as text[]))
       and not exists (select from pipeline.challenge_plans p where p.challenge_id = v.challenge_id)
), facts as (
    select v.evaluator, left(v.metadata ->> 'provider', 60) as provider,
           case when v.created_at between '2000-01-01' and '2200-01-01'
                then (v.created_at at time zone 'UTC')::date end as day,
           v.pass,
           v.metadata #> '{evaluation,pass}' is not distinct from 'true'::jsonb and not v.pass
           as outranked,
           coalesce(t.state in ('closed', 'frozen')
                    or j.final_when = 'now'
                    or v.proof_deadline <= cast(:chain_now as timestamptz)
                    or (j.final_when = 'ends_at'
                        and v.ends_at <= cast(:chain_now as timestamptz)),
                    false) as final
      from ours v
      left join pipeline.judgements j
        on j.challenge_id = v.challenge_id and j.subject = lower(v.subject)
      left join pipeline.ranking_states t on t.challenge_id = v.challenge_id
), counted as (
    select case grouping(evaluator, day) when 3 then 'all' when 1 then 'judge' else 'day' end as kind,
           evaluator, provider, day, count(*) as verdicts,
           count(*) filter (where pass) as passed,
           count(*) filter (where outranked) as outranked,
           count(*) filter (where final) as final
      from facts
     group by grouping sets ((), (evaluator, provider), (day))
), numbered as (
    select c.*, row_number() over (partition by kind
                                   order by day desc nulls last, verdicts desc, evaluator, provider)
                as place
      from counted c
     where kind <> 'day' or day is not null
)
select kind, evaluator, provider, day, verdicts, passed, outranked, final
  from numbered
 where place <= case kind when 'day' then cast(:days as integer) else cast(:judges as integer) end
 order by kind, day, verdicts desc, evaluator, provider

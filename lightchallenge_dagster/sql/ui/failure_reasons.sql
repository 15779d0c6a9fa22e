-- Why verdicts of some partitions fail, the most frequent reasons first. Reasons name amounts and
-- days; with those as # alike ones count together. So many failed verdicts are looked at, at most.
with failed as (
    select v.id, v.reasons
      from pipeline.challenge_plans p
      join public.verdicts v on v.challenge_id = p.challenge_id and not v.pass
     where p.partition_key = any(cast(:partitions as text[]))
     union all
    select v.id, v.reasons
      from public.verdicts v
     where 'unscheduled' = any(cast(:partitions as text[]))
       and not v.pass
       and not exists (select from pipeline.challenge_plans p where p.challenge_id = v.challenge_id)
     limit :looked_at
), alike as (
    select f.id, regexp_replace(left(one.reason, 200), '[0-9]+([.,:-][0-9]+)*', '#', 'g') as reason
      from failed f
     cross join lateral unnest(f.reasons) as one (reason)
     where one.reason is not null
)
select reason, count(distinct id) as verdicts
  from alike
 group by reason
 order by verdicts desc, reason collate "C"
 limit :reasons

-- Rankings that are not what they would be now: inputs changed while provisional, or time to close.
-- Not those whose rule cannot be read (see open).
with open as materialized (
    select o.* from pipeline.open_rankings(:chain_now) o
      join pipeline.challenge_plans p on p.challenge_id = o.challenge_id and p.problem is null
), entrants as (
    select o.challenge_id, count(*) as entrants,
           sum(pipeline.ranking_entry(pipeline.ranking_inputs_hash(
               t.subject, v.score, v.created_at, o.top_n))) as entries
      from open o
      join pipeline.stakes t on t.challenge_id = o.challenge_id and t.amount_wei > 0
      join public.verdicts v on v.challenge_id = o.challenge_id and lower(v.subject) = t.subject
     where v.pass and v.score is not null
     group by o.challenge_id
)
select o.challenge_id, o.partition_key
  from open o
  left join entrants e on e.challenge_id = o.challenge_id
 cross join lateral (
       select pipeline.ranking_hash(o.top_n, o.closing, e.entrants, e.entries) as inputs_hash) i
 where case when o.problem is not null then o.ranked_from is distinct from i.inputs_hash
            else o.closing or ((o.known or e.entrants > 0)
                               and o.ranked_from is distinct from i.inputs_hash)
       end
 order by o.challenge_id

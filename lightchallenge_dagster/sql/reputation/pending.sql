-- How many wallets' stored reputation is not what their mints give. The point and level tables are
-- the rule's own, handed in.
with kinds as (
    select * from unnest(cast(:kinds as text[]), cast(:points as integer[])) as k (kind, points)
), expected as (
    select lower(m.recipient) as subject, coalesce(sum(k.points), 0) as points,
           count(*) filter (where lower(m.achievement_type) = 'completion') as completions,
           count(*) filter (where lower(m.achievement_type) = 'victory') as victories
      from public.achievement_mints m
      left join kinds k on k.kind = lower(m.achievement_type)
     group by lower(m.recipient)
)
select count(*)
  from expected e
  full join public.reputation r on r.subject = e.subject
 where e.subject is null
    or r.subject is null
    or (r.points, r.level, r.completions, r.victories) is distinct from
       (e.points, width_bucket(e.points::integer, cast(:levels as integer[])),
        e.completions, e.victories)

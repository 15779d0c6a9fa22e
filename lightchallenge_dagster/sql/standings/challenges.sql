-- Each staker of each finalized challenge of a season's competitions, and what it took: a win by its
-- ranking (competitive) or passing verdict (threshold), and on chain; else a loss.
with finalized as materialized (
    select distinct sc.competition_id, k.challenge_id
      from public.season_competitions sc
      join public.competitions c on c.id = sc.competition_id
      join pipeline.chain_challenges k
        on k.challenge_id = any(c.challenge_ids) and k.status = 'Finalized'
     where sc.season_id = :season_id
), passes as materialized (
    select o.challenge_id, lower(o.subject) as subject, bool_or(o.pass) as pass
      from public.verdicts o
     where o.challenge_id in (select challenge_id from finalized)
     group by o.challenge_id, lower(o.subject)
)
select t.subject as wallet, k.competition_id::text as competition_id,
       case when w.subject is not null
             and case p.mode when 'competitive' then coalesce(r.winner, false)
                      else coalesce(v.pass, false) end
            then 'win' else 'loss' end as outcome
  from finalized k
  join pipeline.stakes t on t.challenge_id = k.challenge_id and t.amount_wei > 0
  left join pipeline.challenge_plans p on p.challenge_id = k.challenge_id
  left join pipeline.chain_winners w
    on w.challenge_id = k.challenge_id and w.subject = t.subject
  left join public.rankings r
    on r.challenge_id = k.challenge_id and r.subject = t.subject and r.state <> 'provisional'
  left join passes v on v.challenge_id = k.challenge_id and v.subject = t.subject

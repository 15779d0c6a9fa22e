-- Rankings that could not be made, and closed ones that are not the ranking that was closed: neither
-- pays anybody.
select t.challenge_id, t.state, t.ranked, t.winners, t.problem, t.ranked_at
  from pipeline.ranking_states t
 where t.problem is not null
 union all
select o.challenge_id, o.state, o.ranked, o.winners,
       concat_ws('; ',
                 case when o.stored <> o.ranked or o.won <> o.winners
                      then format('%s rows and %s winners are left', o.stored, o.won) end,
                 case when o.won <> o.due
                      then format('%s winners where %s are due', o.won, o.due) end,
                 case when o.undue is not null
                      then format('%s wins without the rank or the score for it', o.undue) end,
                 case when o.misplaced is not null
                      then format('%s is not in its place', o.misplaced) end,
                 case when o.altered is not null
                      then format('the row of %s was altered', o.altered) end,
                 case when o.open is not null
                      then format('the row of %s says that it has not closed', o.open) end),
       t.ranked_at
  from pipeline.settled_rankings(null) o
  join pipeline.ranking_states t on t.challenge_id = o.challenge_id
 where not o.sound
 order by 1

select season_id, problem, computed_at
  from pipeline.standings_states
 where problem is not null
 order by computed_at desc

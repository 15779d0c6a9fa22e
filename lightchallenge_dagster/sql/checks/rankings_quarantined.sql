select challenge_id, state, ranked, winners, problem, ranked_at
  from pipeline.ranking_states
 where problem is not null
 order by challenge_id

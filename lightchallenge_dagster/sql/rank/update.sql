update public.rankings r
   set rank = s.rank, score = s.score, winner = s.winner, tie_break_at = s.tie_break_at,
       top_n = s.top_n, state = s.state, inputs_hash = s.inputs_hash, updated_at = now()
  from staged_rankings s
 where s.challenge_id = r.challenge_id and s.subject = r.subject
   and (r.rank, r.score, r.winner, r.tie_break_at, r.top_n, r.state, r.inputs_hash)
       is distinct from
       (s.rank, s.score, s.winner, s.tie_break_at, s.top_n, s.state, s.inputs_hash)

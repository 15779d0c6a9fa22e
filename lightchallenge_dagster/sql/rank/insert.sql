insert into public.rankings
    (challenge_id, subject, rank, score, winner, tie_break_at, top_n, state, inputs_hash)
select s.challenge_id, s.subject, s.rank, trim_scale(s.score), s.winner, s.tie_break_at, s.top_n,
       s.state, pipeline.ranking_inputs_hash(s.subject, s.score, s.tie_break_at, s.top_n)
  from staged_rankings s
 where not exists (select 1 from public.rankings r
                    where r.challenge_id = s.challenge_id and r.subject = s.subject)

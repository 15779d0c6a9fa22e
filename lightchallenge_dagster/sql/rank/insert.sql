-- What is stored is looked up first: to the planner an empty table costs nothing to read for every
-- row, and it would grow meanwhile.
with stored as materialized (
    select r.challenge_id, r.subject
      from public.rankings r
     where r.challenge_id = any(cast(:challenge_ids as bigint[]))
)
insert into public.rankings
    (challenge_id, subject, rank, score, winner, tie_break_at, top_n, state, inputs_hash)
select s.challenge_id, s.subject, s.rank, s.score, s.winner, s.tie_break_at, s.top_n, s.state,
       s.inputs_hash
  from staged_rankings s
 where not exists (select 1 from stored r
                    where r.challenge_id = s.challenge_id and r.subject = s.subject)

insert into pipeline.ranking_states as t
    (challenge_id, state, inputs_hash, ranked, winners, problem, closed_at)
values (:challenge_id, :state, :inputs_hash, :ranked, :winners, :problem,
        case when :state = 'closed' then now() end)
    on conflict (challenge_id) do update
   set state = excluded.state, inputs_hash = excluded.inputs_hash, ranked = excluded.ranked,
       winners = excluded.winners, problem = excluded.problem, ranked_at = now(),
       closed_at = coalesce(t.closed_at, excluded.closed_at)
 where (t.state, t.inputs_hash, t.ranked, t.winners, t.problem) is distinct from
       (excluded.state, excluded.inputs_hash, excluded.ranked, excluded.winners, excluded.problem)

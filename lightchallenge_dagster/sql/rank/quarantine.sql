-- The ranking itself stays as it was; nothing is paid from it, because it stays provisional.
insert into pipeline.ranking_states as t
    (challenge_id, state, inputs_hash, ranked, winners, problem)
values (:challenge_id, 'provisional', :inputs_hash, 0, 0, :problem)
    on conflict (challenge_id) do update
   set inputs_hash = excluded.inputs_hash, problem = excluded.problem, ranked_at = now()
 where t.state = 'provisional'
   and (t.inputs_hash, t.problem) is distinct from (excluded.inputs_hash, excluded.problem)

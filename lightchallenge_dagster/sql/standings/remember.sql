insert into pipeline.standings_states as t (season_id, inputs_hash, problem)
values (:season_id, :inputs_hash, :problem)
    on conflict (season_id) do update
   set inputs_hash = excluded.inputs_hash, problem = excluded.problem, computed_at = now()
 where (t.inputs_hash, t.problem) is distinct from (excluded.inputs_hash, excluded.problem)

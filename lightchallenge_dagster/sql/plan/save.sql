insert into pipeline.challenge_plans as p
    (challenge_id, config_hash, mode, top_n, starts_at, ends_at, proof_deadline,
     ranking_closes_at, partition_key, problem)
select challenge_id, config_hash, mode, top_n, starts_at, ends_at, proof_deadline,
       ranking_closes_at, partition_key, problem
  from staged_plans
 order by challenge_id  -- as they are locked, so that nobody waits for each other
    on conflict (challenge_id) do update
   set config_hash = excluded.config_hash, mode = excluded.mode, top_n = excluded.top_n,
       starts_at = excluded.starts_at, ends_at = excluded.ends_at,
       proof_deadline = excluded.proof_deadline, ranking_closes_at = excluded.ranking_closes_at,
       partition_key = excluded.partition_key, problem = excluded.problem, planned_at = now()
 where p.config_hash is distinct from excluded.config_hash

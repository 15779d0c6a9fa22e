select challenge_id, subject, request_id, task_id, model_digest, params_hash, schema_version
  from pipeline.bindings
 where challenge_id = any(cast(:challenge_ids as bigint[]))

select id, challenge_id, lower(subject) as subject, provider, data, evidence_hash, created_at
  from public.evidence
 where id = any(cast(:ids as bigint[]))
 order by created_at, id

select id, provider, data, evidence_hash, created_at
  from public.evidence
 where id = any(cast(:ids as bigint[]))

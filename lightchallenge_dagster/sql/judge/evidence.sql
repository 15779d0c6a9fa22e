select id, challenge_id, lower(subject) as subject, provider, data::text as data, evidence_hash,
       created_at
  from public.evidence
 where id = any(cast(:ids as bigint[]))

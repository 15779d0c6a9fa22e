select id, data, evidence_hash, raw_ref, created_at
  from public.evidence
 where challenge_id = :challenge_id
   and lower(subject) = :subject
   and lower(provider) = :provider
 order by created_at desc, id desc
 limit 1

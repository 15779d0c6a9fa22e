-- Every submission of a wallet, newest first, without the data. The first one of each provider is
-- the one that is judged.
select id, lower(provider) as provider, evidence_hash, created_at,
       case jsonb_typeof(data) when 'array' then jsonb_array_length(data) end as records
  from public.evidence
 where challenge_id = :challenge_id and lower(subject) = :subject
 order by created_at desc, id desc

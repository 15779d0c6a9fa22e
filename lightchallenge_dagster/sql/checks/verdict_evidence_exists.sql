select v.challenge_id, v.subject, v.evidence_hash, v.updated_at
  from public.verdicts v
 where not exists (
       select from public.evidence e
        where e.challenge_id = v.challenge_id
          and lower(e.subject) = lower(v.subject)
          and e.evidence_hash = v.evidence_hash)
 order by v.updated_at desc

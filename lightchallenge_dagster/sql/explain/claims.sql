select lower(subject) as subject, claim_type, amount_wei, tx_hash, source, claimed_at
  from public.claims
 where challenge_id = :challenge_id
   and (cast(:subject as text) is null or lower(subject) = :subject)
 order by claimed_at, id

-- A contract said no, no later try of the same effect went through, and it would still be of use.
-- "Already" is a yes: somebody else had the same effect.
select key, kind, status, refusals, last_error, updated_at
  from pipeline.intents i
 where status in ('reverted', 'refused')
   and coalesce(last_error, '') not in ('AlreadyWinner', 'AlreadyFinalized', 'AlreadySet',
                                         'its fee is back already')
   and not exists (
       select from pipeline.intents later
        where later.kind = i.kind
          and later.challenge_id is not distinct from i.challenge_id
          -- Whoever was in a batch of proofs (no subject) is proved alone afterwards.
          and (later.subject is not distinct from i.subject
               or i.kind = 'proof' and i.subject is null)
          and later.created_at > i.created_at
          and later.status in ('mined', 'confirmed'))
   and not exists (
       select from pipeline.chain_winners w
        where i.kind = 'proof' and w.challenge_id = i.challenge_id and w.subject = i.subject)
   and not exists (
       select from pipeline.chain_challenges k
        where i.kind in ('request', 'bind', 'clear', 'proof', 'finalize')
          and k.challenge_id = i.challenge_id and k.status in ('Finalized', 'Canceled'))
 order by updated_at desc

-- A contract said no, no later try of the same effect went through, and it would still be of use.
-- "Already" is a yes: somebody else had the same effect.
select key, kind, status, refusals, last_error, updated_at
  from pipeline.intents i
 where status in ('reverted', 'refused')
   and coalesce(last_error, '') not in ('AlreadyWinner', 'AlreadyFinalized', 'AlreadySet')
   and not exists (
       select from pipeline.intents later
        where i.kind <> 'reclaim'
          and later.kind = i.kind
          and later.challenge_id is not distinct from i.challenge_id
          -- Whoever was in a batch of proofs (no subject) is proved alone afterwards.
          and (later.subject is not distinct from i.subject
               or i.kind = 'proof' and i.subject is null)
          and later.created_at > i.created_at
          and later.status in ('mined', 'confirmed'))
   -- A fee is of one request, and comes back by any attempt, or by somebody else's.
   and not exists (
       select from pipeline.intents later
        where i.kind = 'reclaim'
          and later.kind = 'reclaim'
          and later.challenge_id = i.challenge_id
          and split_part(later.key, ':', 3) = split_part(i.key, ':', 3)
          and later.status in ('mined', 'confirmed'))
   and not exists (
       select from pipeline.request_watch w
        where i.kind = 'reclaim'
          and w.request_id = cast(split_part(i.key, ':', 3) as numeric)
          and w.chain_status in (5, 6))
   and not exists (
       select from pipeline.chain_winners w
        where i.kind = 'proof' and w.challenge_id = i.challenge_id and w.subject = i.subject)
   and not exists (
       select from pipeline.chain_challenges k
        where i.kind in ('request', 'bind', 'clear', 'proof', 'finalize')
          and k.challenge_id = i.challenge_id and k.status in ('Finalized', 'Canceled'))
 order by updated_at desc

select c.id, c.status, o.status as chain_status, c.chain_outcome, o.outcome as outcome_on_chain
  from public.challenges c
  join pipeline.chain_challenges o on o.challenge_id = c.id
 where lower(c.status) <> 'rejected'
   and (c.status is distinct from o.status or c.chain_outcome is distinct from o.outcome)
 order by c.id

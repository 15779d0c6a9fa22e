-- What the rule of some challenges is read from, and the sources that their models accept.
select c.id as challenge_id, c.params, c.proof, c.timeline,
       k.start_ts, k.end_ts, k.proof_deadline_ts, m.sources
  from public.challenges c
  left join pipeline.chain_challenges k on k.challenge_id = c.id
  left join public.models m
    on m.id = coalesce(nullif(btrim(c.proof ->> 'modelId'), ''), c.model_id)
 where c.id > 0
   and c.id = any(cast(:challenge_ids as bigint[]))
 order by c.id

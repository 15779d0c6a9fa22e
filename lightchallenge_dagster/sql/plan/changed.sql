-- Challenges whose configuration is not the one their plan was made from. The hash has two parts:
-- what the rule is, and the policy that only moves the closing of a ranking.
select f.*
  from (
    select c.id as challenge_id, c.params, c.proof, c.timeline,
           k.start_ts, k.end_ts, k.proof_deadline_ts,
           md5(jsonb_build_array(
                   c.params,
                   case jsonb_typeof(c.proof) when 'object' then c.proof -> 'params' else c.proof end,
                   c.timeline, k.start_ts, k.end_ts, k.proof_deadline_ts)::text)
               || ':' || :policy as config_hash
      from public.challenges c
      left join pipeline.chain_challenges k on k.challenge_id = c.id
     where c.id > 0
  ) f
  left join pipeline.challenge_plans p on p.challenge_id = f.challenge_id
 where p.config_hash is distinct from f.config_hash
 order by f.challenge_id

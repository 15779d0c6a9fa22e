-- The hashes of what was mined lately, into the documented keys of challenges.proof. Also for
-- transactions that were mined after the run that sent them had ended.
with mined as (
    select distinct on (i.challenge_id, i.kind)
           i.challenge_id, i.kind, t.hash
      from pipeline.intents i
      join pipeline.transactions t on t.intent_key = i.key and t.receipt_status = 1
     where i.kind in ('bind', 'proof', 'finalize')
       and i.status in ('mined', 'confirmed')
       and i.updated_at > now() - interval '7 days'
     order by i.challenge_id, i.kind, t.block_number desc, t.hash
),
patches as (
    select challenge_id,
           jsonb_object_agg(case kind when 'bind' then 'bindTxHash'
                                      when 'proof' then 'submitProofTxHash'
                                      else 'finalizeTxHash' end, hash)
           || case when bool_or(kind = 'finalize')
                   then '{"finalizationAttempted": true, "finalizationSuccess": true,
                          "lastFinalizationError": null}'::jsonb
                   else '{}'::jsonb end as patch
      from mined
     group by challenge_id
)
update public.challenges c
   set proof = coalesce(c.proof, '{}') || p.patch, updated_at = now()
  from patches p
 where c.id = p.challenge_id
   and jsonb_typeof(coalesce(c.proof, '{}')) = 'object'
   and coalesce(c.proof, '{}') is distinct from coalesce(c.proof, '{}') || p.patch

-- What challenges.proof does not say, or no longer rightly, about our bindings, proofs and
-- finalizations: the keys to set, by challenge. A hash is of the latest transaction of its kind that
-- a block holds; one of ours that no block holds any more is taken back, and with a finalization's
-- its success. `proofs`: the contract has to be asked how many winners it counts.
with recent as (
    select distinct i.challenge_id
      from pipeline.intents i
     where i.kind in ('bind', 'proof', 'finalize')
       and i.challenge_id is not null
       and i.updated_at > now() - interval '7 days'
),
sent as (
    select i.challenge_id, i.kind, t.hash, t.block_number,
           t.receipt_status = 1
           and i.status in ('mined', 'confirmed')
           and not exists (
               select from pipeline.chain_blocks b
                where b.chain_id = t.chain_id and b.number = t.block_number
                  and b.hash <> t.block_hash) as stands
      from recent r
      join pipeline.intents i
        on i.challenge_id = r.challenge_id and i.kind in ('bind', 'proof', 'finalize')
      join pipeline.transactions t on t.intent_key = i.key
),
told as (
    select c.id as challenge_id, coalesce(c.proof, '{}') as proof, k.kind, k.name,
           (select s.hash from sent s
             where s.challenge_id = c.id and s.kind = k.kind and s.stands
             order by s.block_number desc, s.hash limit 1) as latest,
           exists (select from sent s
                    where s.challenge_id = c.id and s.hash = c.proof ->> k.name
                      and s.stands is not true) as gone
      from recent r
      join public.challenges c on c.id = r.challenge_id
     cross join (values ('bind', 'bindTxHash'), ('proof', 'submitProofTxHash'),
                        ('finalize', 'finalizeTxHash')) k (kind, name)
     where jsonb_typeof(coalesce(c.proof, '{}')) = 'object'
),
patches as (
    select t.challenge_id,
           jsonb_object_agg(t.name, t.latest) filter (where t.latest is not null or t.gone)
               as hashes,
           bool_or(t.kind = 'finalize' and t.latest is not null) as finalized,
           bool_or(t.kind = 'finalize' and t.latest is null and t.gone) as undone,
           exists (select from sent s
                    where s.challenge_id = t.challenge_id and s.kind = 'finalize') as attempted,
           bool_or(t.kind = 'proof' and (t.latest is not null or t.gone)
                   and t.latest is distinct from t.proof ->> t.name) as proofs
      from told t
     group by t.challenge_id
),
due as (
    select p.challenge_id,
           coalesce(c.proof, '{}') as proof,
           coalesce(p.hashes, '{}')
           || case when p.finalized
                   then '{"finalizationAttempted": true, "finalizationSuccess": true,
                          "lastFinalizationError": null}'::jsonb
                   when p.undone and k.status is distinct from 'Finalized'
                   then '{"finalizationSuccess": false,
                          "lastFinalizationError": "a reorg took its transaction out of the chain"}'
                   when p.attempted then '{"finalizationAttempted": true}'
                   else '{}' end as patch,
           -- Also where nobody won: the run that finalized may not have lived to note it.
           p.proofs or ((c.proof ? 'submitProofTxHash' or p.finalized)
                        and w.winners is distinct from c.proof ->> 'proofsSubmitted') as proofs
      from patches p
      join public.challenges c on c.id = p.challenge_id
      left join pipeline.chain_challenges k on k.challenge_id = p.challenge_id
     cross join lateral (
          select cast(count(*) as text) as winners
            from pipeline.chain_winners w where w.challenge_id = p.challenge_id
     ) w
)
select challenge_id, patch, proofs
  from due
 where proofs or proof is distinct from proof || patch
 order by challenge_id

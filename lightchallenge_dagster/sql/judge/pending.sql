-- Wallets whose latest evidence per provider, rule or accepted sources are not what their verdict
-- was made from, or that have no verdict. The hash is of evidence ids and hashes, not of the data:
-- this runs in every tick. A threshold pass of an earlier worker waits while the request that its job noted is
-- not indexed: the wallet may be bound on chain, and then its verdict stands.
with latest as (
    select distinct on (e.challenge_id, lower(e.subject), lower(e.provider))
           e.challenge_id, lower(e.subject) as subject, lower(e.provider) as provider,
           e.id, e.evidence_hash, coalesce(p.partition_key, 'unscheduled') as partition_key,
           split_part(p.config_hash, ':', 1) as rule_hash
      from public.evidence e
      left join pipeline.challenge_plans p on p.challenge_id = e.challenge_id
     where (cast(:partition_key as text) is null
            or coalesce(p.partition_key, 'unscheduled') = :partition_key)
       and (cast(:challenge_ids as bigint[]) is null or e.challenge_id = any(:challenge_ids))
       and (cast(:until as timestamptz) is null
            or greatest(e.created_at, e.updated_at) <= :until)
     order by e.challenge_id, lower(e.subject), lower(e.provider), e.created_at desc, e.id desc
), inputs as (
    select l.challenge_id, l.subject, l.partition_key, array_agg(l.id) as evidence_ids,
           md5(concat_ws('|', l.rule_hash, m.sources::text,
                         string_agg(l.provider || ':' || l.id || ':' || l.evidence_hash, ','
                                    order by l.provider collate "C"))) as inputs_hash
      from latest l
      left join public.challenges c on c.id = l.challenge_id and c.id > 0
      left join public.models m
        on m.id = coalesce(nullif(btrim(c.proof ->> 'modelId'), ''), c.model_id)
     group by l.challenge_id, l.subject, l.partition_key, l.rule_hash, m.sources
)
select i.challenge_id, i.subject, i.partition_key, i.inputs_hash, i.evidence_ids, j.submitted_at
  from inputs i
  left join pipeline.judgements j on j.challenge_id = i.challenge_id and j.subject = i.subject
 where (:everything
        or j.inputs_hash is distinct from i.inputs_hash
        or not exists (select 1 from public.verdicts v
                        where v.challenge_id = i.challenge_id and lower(v.subject) = i.subject))
   and not (j.challenge_id is null
            and exists (select 1
                          from public.verdicts v
                          join public.challenges c on c.id = v.challenge_id
                          join pipeline.challenge_plans plan
                            on plan.challenge_id = c.id and plan.mode = 'threshold'
                          left join public.aivm_jobs job on job.challenge_id = c.id
                          left join pipeline.inference_requests r
                            on r.task_id = lower(coalesce(job.task_id,
                                                          c.proof #>> '{taskBinding,taskId}'))
                         where v.challenge_id = i.challenge_id and lower(v.subject) = i.subject
                           and v.pass
                           and coalesce(job.task_id, c.proof #>> '{taskBinding,taskId}')
                               is not null
                           and r.task_id is null))
 order by i.challenge_id, i.subject

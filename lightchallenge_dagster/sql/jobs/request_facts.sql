-- What the prompt and the request of a job are made of.
select c.id as challenge_id,
       lower(c.subject) as subject,
       coalesce(nullif(c.proof ->> 'modelId', ''), c.model_id) as model_id,
       c.model_hash,
       c.proof ->> 'paramsHash' as params_hash,
       c.proof ->> 'benchmarkHash' as benchmark_hash,
       c.proof ->> 'backend' as backend,
       v.score as own_score,
       v.evidence_hash as own_evidence_hash,
       -- Of the years that a prompt can hold, as in rank/settled_winners; null without a verdict.
       case when v.updated_at is not null
            then least(greatest(v.updated_at, 'epoch'), '9999-12-31 00:00+00') end
           as own_updated_at,
       noted.task_id as noted_task,
       exists (select from pipeline.inference_requests r where r.task_id = noted.task_id)
           as noted_known
  from public.challenges c
  left join public.aivm_jobs j on j.challenge_id = c.id
  -- A request that is known to be dead speaks for nobody, whatever a node that is behind shows.
  left join lateral (
      select named.task_id
        from lower(coalesce(j.task_id, c.proof #>> '{taskBinding,taskId}')) as named (task_id)
       where not exists (select from pipeline.request_watch w
                          where w.task_id = named.task_id and w.dead is not null)
  ) noted on true
  left join public.verdicts v
    on v.challenge_id = c.id and lower(v.subject) = lower(c.subject) and v.pass
 where c.id = any(cast(:challenge_ids as bigint[]))

-- Challenges that are not over, with the inference request that speaks for them (columns null where
-- there is none): the job's task, or the binding the web app and earlier workers noted in
-- proof.taskBinding. One that can serve nobody any more (expired, or answered with something else)
-- speaks for nothing: nobody is bound to it.
select k.challenge_id,
       k.status = 'Paused' as paused,
       k.start_ts,
       k.proof_deadline_ts,
       k.verifier,
       c.proof ->> 'benchmarkHash' as benchmark_hash,
       r.request_id,
       r.task_id,
       r.model_digest,
       r.det_config_hash,
       r.status as request_status,
       r.response_hash
  from pipeline.chain_challenges k
  join public.challenges c on c.id = k.challenge_id
  left join public.aivm_jobs j on j.challenge_id = k.challenge_id
  left join pipeline.inference_requests r
    on r.task_id = lower(coalesce(j.task_id, c.proof #>> '{taskBinding,taskId}'))
   and not exists (select from pipeline.request_watch w
                    where w.request_id = r.request_id and w.dead is not null)
 where k.status in ('Active', 'Paused')
   -- Paused, or past its deadline: whoever is bound and must not win is unbound all the same, because
   -- the pause ends and the deadline can be moved.
   and (k.proof_deadline_ts >= :chain_now_ts and r.request_id is not null
        or exists (select from pipeline.bindings b where b.challenge_id = k.challenge_id))
 order by k.challenge_id

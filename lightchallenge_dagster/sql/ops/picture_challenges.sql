-- Every challenge with what is compared with the chain, in one row. "approved" is the web app's older
-- word for active, and cancelled is spelled both ways.
select c.id as challenge_id,
       case lower(c.status) when 'approved' then 'active' when 'cancelled' then 'canceled'
                            else lower(c.status) end as status,
       c.chain_outcome as outcome,
       lower(k.status) as indexed_status,
       k.outcome as indexed_outcome,
       case when jsonb_typeof(c.proof) = 'object' then c.proof end as proof,
       j.status as job_status,
       lower(j.task_id) as task_id,
       r.status as indexed_request,
       (select count(*) from pipeline.chain_winners w where w.challenge_id = c.id) as winners
  from public.challenges c
  left join pipeline.chain_challenges k on k.challenge_id = c.id
  left join public.aivm_jobs j on j.challenge_id = c.id
  left join pipeline.inference_requests r on r.task_id = lower(j.task_id)
 where c.id > 0
   and (cast(:challenge_ids as bigint[]) is null or c.id = any(cast(:challenge_ids as bigint[])))
 order by c.id

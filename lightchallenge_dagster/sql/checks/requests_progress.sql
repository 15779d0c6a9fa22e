-- The network has about an hour and a half (commit 10 min, reveal 20, finalize 60) before a
-- request can never finalize.
select request_id, status, requested_block, to_timestamp(requested_ts) as requested_at
  from pipeline.inference_requests
 where status <> 'finalized'
   and to_timestamp(requested_ts) < now() - interval '90 minutes'
   and task_id in (select lower(task_id) from public.aivm_jobs)
 order by request_id

-- The job's request is on chain. Where the network was faster than this note, the job is already
-- further; a job that was canceled meanwhile stays canceled.
-- Noted again after a reorg, it may step back.
update public.aivm_jobs job
   set task_id = :task_id,
       worker_address = :worker,
       last_error = null,
       updated_at = now(),
       status = coalesce(
           (select case r.status when 'requested' then 'submitted'
                                 when 'finalized' then 'done'
                                 else r.status end
              from pipeline.inference_requests r where r.task_id = :task_id),
           'submitted')
 where job.challenge_id = :challenge_id
   and (job.status in ('queued', 'failed', 'processing')
        or :again and job.status in ('submitted', 'committed', 'revealed', 'done'))

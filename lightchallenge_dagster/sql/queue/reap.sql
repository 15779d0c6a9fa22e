-- Jobs whose worker died while it worked on them go back to the queue.
update public.aivm_jobs job
   set status = case when job.attempts > 0 then 'failed' else 'queued' end,
       last_error = 'its worker died: ' || claim.worker,
       updated_at = now()
  from pipeline.job_claims claim
 where job.challenge_id = claim.challenge_id
   and job.status = 'processing'
   and claim.expires_at <= clock_timestamp()
returning job.challenge_id

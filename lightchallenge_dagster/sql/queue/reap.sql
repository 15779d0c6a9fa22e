-- Jobs whose worker died while it worked on them go back to the queue. Both rows are locked, so that
-- what is read is what stands: a job that somebody claims right now is left alone. A claim that was
-- given back (-infinity) has nobody dead behind it; its request is in flight, or it is due again.
with dead as (
    select job.id, claim.worker
      from public.aivm_jobs job
      join pipeline.job_claims claim on claim.challenge_id = job.challenge_id
     where job.status = 'processing'
       and claim.expires_at <= clock_timestamp()
       and claim.expires_at > '-infinity'
       for update of job, claim skip locked
)
update public.aivm_jobs job
   set status = case when job.attempts > 0 then 'failed' else 'queued' end,
       last_error = 'its worker died: ' || dead.worker,
       updated_at = now()
  from dead
 where job.id = dead.id
returning job.challenge_id

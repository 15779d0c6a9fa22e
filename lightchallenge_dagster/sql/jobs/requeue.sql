-- The job's request can never serve it: it waits for another one. An answer that proves nothing
-- cost its fee, so it counts as an attempt; a request that ran out of time gets its fee back and
-- does not.
update public.aivm_jobs
   set task_id = null,
       attempts = attempts + case when :answered then 1 else 0 end,
       status = case when not :answered then 'queued'
                     when attempts + 1 >= :max_attempts then 'dead'
                     else 'failed' end,
       last_error = :why,
       updated_at = now()
 where challenge_id = :challenge_id
   and lower(task_id) = :task_id
   and status in ('submitted', 'committed', 'revealed', 'done')
returning status

-- Take jobs to work on; a row another worker holds right now is left to it.
update public.aivm_jobs job
   set status = 'processing', updated_at = now()
  from (
      select id
        from public.aivm_jobs
       where challenge_id = any(cast(:challenge_ids as bigint[]))
         and status in ('queued', 'failed', 'processing')
       order by created_at, id
       limit :batch
         for update skip locked
  ) free
 where job.id = free.id
returning job.challenge_id

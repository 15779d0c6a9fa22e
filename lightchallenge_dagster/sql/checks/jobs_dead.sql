select challenge_id, attempts, last_error, updated_at
  from public.aivm_jobs
 where status = 'dead'
 order by updated_at desc

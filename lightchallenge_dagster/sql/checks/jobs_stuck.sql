select challenge_id, status, attempts, updated_at, last_error
  from public.aivm_jobs
 where status not in ('done', 'canceled', 'dead', 'skipped')
   and updated_at < now() - interval '1 hour'
 order by updated_at

-- The queue by status: how many jobs, how long the oldest has been still, and how often a contract
-- refused them.
select status, count(*) as jobs, min(updated_at) as oldest, sum(attempts) as attempts
  from public.aivm_jobs
 group by status
 order by array_position(
     array['queued', 'processing', 'failed', 'submitted', 'committed', 'revealed', 'done',
           'skipped', 'canceled', 'dead'], status), status

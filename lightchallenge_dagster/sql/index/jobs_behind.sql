select exists (
    select 1
    from public.aivm_jobs j
    join pipeline.inference_requests r on r.task_id = lower(j.task_id)
    where j.status = 'submitted' and r.status in ('committed', 'revealed', 'finalized')
       or j.status = 'committed' and r.status in ('revealed', 'finalized')
       or j.status = 'revealed' and r.status = 'finalized'
)

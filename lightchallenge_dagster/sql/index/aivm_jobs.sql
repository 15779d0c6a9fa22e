-- public.aivm_jobs.status: how far the network has got with the request a job is waiting for.
-- Forward only, except for requests whose blocks were orphaned. Jobs on their way are compared
-- each time, not only those of new events: the worker may note the task after it was indexed.
-- A job that is queued, processing or failed is the worker's: its task may be an older request's.
with touched as (
    select r.task_id, bool_or(t.orphaned) as orphaned
    from touched_logs t
    join pipeline.inference_requests r on r.request_id = t.request_id
    where t.event like 'AIVMInferenceV2.%'
    group by r.task_id
    union all
    select task_id, true
    from touched_logs
    where event = 'AIVMInferenceV2.InferenceRequestedV2' and orphaned
),
stages (stage, status) as (
    values (1, 'submitted'), (2, 'committed'), (3, 'revealed'),
           (4, 'done')
),
reached (reached, status) as (
    values ('requested', 'submitted'), ('committed', 'committed'), ('revealed', 'revealed'),
           ('finalized', 'done')
),
jobs as (
    select j.id, j.status, coalesce(w.status, 'submitted') as wanted,
           coalesce((select bool_or(t.orphaned) from touched t where t.task_id = j.task_id), false)
               as orphaned
    from public.aivm_jobs j
    left join pipeline.inference_requests r on r.task_id = j.task_id
    left join reached w on w.reached = r.status
    where j.task_id is not null
      and (r.request_id is not null
               and (j.status in ('submitted', 'committed', 'revealed')
                    or j.status = 'done' and j.task_id in (select task_id from touched))
           or r.request_id is null
               and j.status in ('committed', 'revealed', 'done')
               and j.task_id in (select task_id from touched where orphaned))
),
moved as (
    update public.aivm_jobs t
    set status = j.wanted,
        last_error = case when b.stage < a.stage
                          then 'a reorg took this job back from ' || j.status
                          else t.last_error end,
        updated_at = now()
    from jobs j
    join stages a on a.status = j.status
    join stages b on b.status = j.wanted
    where t.id = j.id and t.status = j.status
      and (b.stage > a.stage or b.stage < a.stage and j.orphaned)
    returning 1
)
select count(*) from moved

-- public.aivm_jobs.status: how far the network has got with the request a job is waiting for; and
-- the same in challenges.proof, with what the validators attested.
-- Forward only, except for requests whose blocks were orphaned. Jobs on their way are compared
-- each time, not only those of new events: the worker may note the task after it was indexed.
-- A job that is queued, processing or failed is the worker's: its task may be an older request's.
-- Earlier workers noted tasks in any case. The table's index knows one: a job on its way is found by
-- its status, and its task is lowercase from the first move on.
with touched as materialized (
    select task_id, bool_or(orphaned) as orphaned
    from (
        select r.task_id, t.orphaned
        from touched_logs t
        join pipeline.inference_requests r on r.request_id = t.request_id
        where t.event = any(cast(:events as text[]))
        union all
        select task_id, orphaned
        from touched_logs
        where event = 'AIVMInferenceV2.InferenceRequestedV2' and orphaned
           or event = 'AIVMInferenceV2.PoIAttested'
    ) t
    group by task_id
),
stages (stage, status) as (
    values (1, 'submitted'), (2, 'committed'), (3, 'revealed'), (4, 'done')
),
reached (reached, status) as (
    values ('requested', 'submitted'), ('committed', 'committed'), ('revealed', 'revealed'),
           ('finalized', 'done')
),
candidates as materialized (
    select j.id, j.challenge_id, j.status, lower(j.task_id) as task_id,
           coalesce(t.orphaned, false) as orphaned
    from public.aivm_jobs j
    left join touched t on t.task_id = lower(j.task_id)
    where j.status in ('submitted', 'committed', 'revealed') and j.task_id is not null
    union all
    select j.id, j.challenge_id, j.status, j.task_id, t.orphaned
    from touched t
    join public.aivm_jobs j on j.task_id = t.task_id
    where j.status = 'done'
),
jobs as materialized (
    select c.id, c.status, c.task_id, c.orphaned, coalesce(w.status, 'submitted') as wanted
    from candidates c
    left join pipeline.inference_requests r on r.task_id = c.task_id
    left join reached w on w.reached = r.status
    where r.request_id is not null or c.orphaned and c.status <> 'submitted'
),
moved as (
    update public.aivm_jobs t
    set status = j.wanted,
        task_id = j.task_id,
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
),
-- The same for the row of the web app, as far as it is bound to this very request.
told as (
    update public.challenges c
    set proof = c.proof || p.patch, updated_at = now()
    from touched t
    join pipeline.request_progress p on p.task_id = t.task_id
    join (
        select challenge_id, task_id from candidates
        union
        select j.challenge_id, j.task_id
        from touched t
        join public.aivm_jobs j on j.task_id = t.task_id
    ) j on j.task_id = t.task_id
    where c.id = j.challenge_id
      and jsonb_typeof(c.proof) = 'object'
      and lower(c.proof #>> '{taskBinding,taskId}') = t.task_id
      and c.proof is distinct from c.proof || p.patch
)
select count(*) from moved

-- Take due jobs, the oldest first; a row that another worker holds right now is left to it. Whoever
-- comes a moment late finds the other's living claim and gets nothing.
-- Each status is walked in the order of its index (PostgreSQL does that for one status at a time),
-- and only so far that ten others in the middle of such a claim leave enough: how many due jobs
-- wait behind does not matter. Jobs that wait for their retry time are sorted out by one look at an
-- index before each of the others is looked at as closely as due_jobs does.
with waiting as materialized (
    select i.challenge_id
      from pipeline.intents i
     where i.kind = 'request'
       and i.status in ('planned', 'refused')
       and i.retry_at > now()
       and i.challenge_id is not null
       and not exists (select from pipeline.intents later
                        where later.challenge_id = i.challenge_id
                          and later.kind = 'request'
                          and later.created_at > i.created_at)
), oldest as materialized (
    select found.id
      from unnest(array['queued', 'failed', 'processing']) as walked (status)
     cross join lateral (
         select j.id
           from public.aivm_jobs j
          where j.status = walked.status
            and j.challenge_id not in (select challenge_id from waiting)
            and exists (select from pipeline.due_jobs due where due.id = j.id)
            and (cast(:challenge_ids as bigint[]) is null
                 or j.challenge_id = any(cast(:challenge_ids as bigint[])))
          order by j.created_at, j.id
          limit 11 * cast(:batch as bigint)
     ) found
), free as materialized (
    select j.id, j.challenge_id
      from public.aivm_jobs j
     where j.id in (select id from oldest)
       and j.status in ('queued', 'failed', 'processing')
     order by j.created_at, j.id
     limit :batch
       for update of j skip locked
), claimed as (
    insert into pipeline.job_claims as claim
        (challenge_id, token, worker, claimed_at, heartbeat_at, expires_at)
    select challenge_id, 1, :worker, clock_timestamp(), clock_timestamp(),
           clock_timestamp() + make_interval(secs => :lease_s)
      from free
     order by challenge_id  -- as claims are given back, so that nobody waits for each other
    on conflict (challenge_id) do update
       set token = claim.token + 1,
           worker = excluded.worker,
           claimed_at = excluded.claimed_at,
           heartbeat_at = excluded.heartbeat_at,
           expires_at = excluded.expires_at
     where claim.expires_at <= clock_timestamp()
    returning challenge_id, token
), marked as (
    update public.aivm_jobs job
       set status = 'processing', updated_at = now()
      from claimed
     where job.challenge_id = claimed.challenge_id
)
select challenge_id, token from claimed order by challenge_id

-- Jobs that a reset is for: taken by a worker that gave no sign of life for so many minutes, and
-- those asked for by id. `working`: a worker's claim lives.
select j.challenge_id, j.status, j.attempts, j.updated_at, j.last_error, claim.worker,
       coalesce(claim.expires_at > clock_timestamp(), false) as working,
       coalesce(k.status in ('Finalized', 'Canceled'), false)
           or coalesce(lower(c.status) in ('finalized', 'canceled', 'rejected'), false) as ended
  from public.aivm_jobs j
  left join public.challenges c on c.id = j.challenge_id
  left join pipeline.chain_challenges k on k.challenge_id = j.challenge_id
  left join pipeline.job_claims claim on claim.challenge_id = j.challenge_id
 where j.challenge_id = any(cast(:challenge_ids as bigint[]))
    or (cast(:minutes as double precision) is not null
        and j.status = 'processing'
        and greatest(j.updated_at, claim.heartbeat_at)
            < now() - make_interval(secs => 60 * cast(:minutes as double precision)))
 order by j.challenge_id

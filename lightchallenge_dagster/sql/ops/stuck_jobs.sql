-- Jobs that a reset is for: those asked for by id, else those in processing without a sign of life
-- for so many minutes (`silent`). `working`: a worker's claim lives.
select j.challenge_id, j.status, j.attempts, j.updated_at, j.last_error, claim.worker,
       coalesce(claim.expires_at > clock_timestamp(), false) as working,
       greatest(j.updated_at, claim.heartbeat_at) < asked.since as silent,
       coalesce(k.status in ('Finalized', 'Canceled'), false)
           or coalesce(lower(c.status) = 'rejected', false)
           or coalesce(k.challenge_id is null and lower(c.status) in ('finalized', 'canceled'), false)
           as ended
  from (select now() - make_interval(secs => 60 * cast(:minutes as double precision)) as since,
               cast(:challenge_ids as bigint[]) as ids) asked
  join public.aivm_jobs j
    on j.challenge_id = any(asked.ids) or (asked.ids is null and j.status = 'processing')
  left join public.challenges c on c.id = j.challenge_id
  left join pipeline.chain_challenges k on k.challenge_id = j.challenge_id
  left join pipeline.job_claims claim on claim.challenge_id = j.challenge_id
 where asked.ids is not null or greatest(j.updated_at, claim.heartbeat_at) < asked.since
 order by j.challenge_id

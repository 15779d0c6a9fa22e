-- Where one challenge stands on its way to a request, in one row.
select c.id is not null as known,
       c.status as challenge_status,
       k.status as chain_status,
       p.problem,
       nullif(c.proof #>> '{taskBinding,requestId}', '') as noted_request,
       j.status as job_status,
       j.attempts,
       j.last_error,
       case when claim.expires_at > clock_timestamp() then claim.worker end as worker,
       latest.key as intent,
       latest.status as intent_status,
       latest.last_error as intent_error,
       case when latest.retry_at > now() then latest.retry_at end as retry_at
  from (select cast(:challenge_id as bigint) as id) asked
  left join public.challenges c on c.id = asked.id
  left join pipeline.chain_challenges k on k.challenge_id = asked.id
  left join pipeline.challenge_plans p on p.challenge_id = asked.id
  left join public.aivm_jobs j on j.challenge_id = asked.id
  left join pipeline.job_claims claim on claim.challenge_id = asked.id
  left join lateral (
      select i.key, i.status, i.last_error, i.retry_at
        from pipeline.intents i
       where i.challenge_id = asked.id and i.kind = 'request'
       order by i.created_at desc
       limit 1
  ) latest on true

-- What is to be canceled, with what it was: jobs that have sent nothing and whose challenge ended.
select j.challenge_id, j.status as job_status, j.attempts, j.last_error,
       c.status as challenge_status, k.status as chain_status
  from public.aivm_jobs j
  left join public.challenges c on c.id = j.challenge_id
  left join pipeline.chain_challenges k on k.challenge_id = j.challenge_id
 where j.challenge_id = any(cast(:challenge_ids as bigint[]))
 order by j.challenge_id

-- Requests of ours, or of our jobs, whose fate is to be read from the contract: not finalized five
-- minutes after they were made and never read, or past the deadline of the stage they were in when
-- they were. A request is ours by the transaction that made it, a job's by its task. Also those
-- that were finalized and never read, while their challenge runs: the answer may prove nothing.
-- In parts, so that each begins at the few that are open and not at all that ever were.
with wanted as (
    select r.request_id, i.challenge_id
      from pipeline.inference_requests r
      join pipeline.transactions t on t.hash = r.requested_tx and t.receipt_status = 1
      join pipeline.intents i on i.key = t.intent_key and i.kind = 'request'
     where r.status <> 'finalized'
    union
    select r.request_id, j.challenge_id
      from pipeline.inference_requests r
      join public.aivm_jobs j on j.task_id = r.task_id and j.status = 'done'
     where r.status <> 'finalized'
    union
    select r.request_id, j.challenge_id
      from public.aivm_jobs j
      join pipeline.inference_requests r on r.task_id = lower(j.task_id)
     where j.status in ('submitted', 'committed', 'revealed')
    union
    select r.request_id, j.challenge_id
      from pipeline.chain_challenges k
      join public.aivm_jobs j on j.challenge_id = k.challenge_id and j.status = 'done'
      join pipeline.inference_requests r on r.task_id = lower(j.task_id)
     where k.status = 'Active'
    union
    select r.request_id, i.challenge_id
      from pipeline.chain_challenges k
      join pipeline.intents i on i.challenge_id = k.challenge_id and i.kind = 'request'
      join pipeline.transactions t on t.intent_key = i.key and t.receipt_status = 1
      join pipeline.inference_requests r on r.requested_tx = t.hash
     where k.status = 'Active'
)
select r.request_id, wanted.challenge_id, r.task_id, r.requester, r.status as seen_status,
       r.response_hash
  from wanted
  -- One by one (hence the limit): a join of the whole would read and sort every request.
  join lateral (
      select * from pipeline.inference_requests one
       where one.request_id = wanted.request_id
       limit 1
  ) r on true
  left join pipeline.request_watch w on w.request_id = r.request_id
  left join pipeline.chain_challenges k on k.challenge_id = wanted.challenge_id
 where w.dead is null
   and (r.status <> 'finalized' or k.status = 'Active')
   and case
           when r.status = 'finalized' then coalesce(w.seen_status <> 'finalized', true)
           when w.request_id is null then r.requested_ts + 300 < :chain_now_ts
           else case w.chain_status
                    when 1 then w.commit_deadline
                    when 2 then w.reveal_deadline
                    when 3 then w.finalize_deadline
                    when 7 then w.finalize_deadline
                end < :chain_now_ts
       end
 order by r.request_id

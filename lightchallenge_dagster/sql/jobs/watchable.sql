-- Requests of ours, or of our jobs, whose fate is to be read from the contract: not finalized five
-- minutes after they were made and never read, or past the deadline of the stage they were in when
-- they were. A request is ours by the transaction that made it, a job's by its task. Also those
-- that were finalized and never read, while their challenge runs: the answer may prove nothing.
with wanted as (
    select r.request_id, i.challenge_id
      from pipeline.intents i
      join pipeline.transactions t on t.intent_key = i.key and t.receipt_status = 1
      join pipeline.inference_requests r on r.requested_tx = t.hash
     where i.kind = 'request'
    union
    select r.request_id, j.challenge_id
      from public.aivm_jobs j
      join pipeline.inference_requests r on r.task_id = lower(j.task_id)
     where j.status in ('submitted', 'committed', 'revealed', 'done')
)
select r.request_id, wanted.challenge_id, r.task_id, r.requester, r.status as seen_status,
       r.response_hash
  from wanted
  join pipeline.inference_requests r on r.request_id = wanted.request_id
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

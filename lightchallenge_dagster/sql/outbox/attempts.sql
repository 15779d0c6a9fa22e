select i.key, i.kind, i.signer, i.to_address, i.data, i.value_wei, i.challenge_id, i.subject,
       i.nonce, i.status, i.refusals, i.last_error, i.retry_at,
       coalesce(i.retry_at > now(), false) as waiting,
       t.block_number,
       coalesce(t.receipt_status = 0, false) as failing,
       i.kind = 'request' and exists (
           select from pipeline.inference_requests r
             join pipeline.request_watch w on w.request_id = r.request_id and w.dead is not null
            where r.requested_tx = t.hash) as outlived
  from pipeline.intents i
  left join pipeline.transactions t on t.intent_key = i.key and t.block_number is not null
 where i.challenge_id = any(cast(:challenge_ids as bigint[]))
   and i.kind = any(cast(:kinds as text[]))
 order by i.created_at, i.key

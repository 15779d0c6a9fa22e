-- What was ordered on chain for a wallet, oldest first, with the transaction last sent for it.
select i.kind, i.status, i.last_error, t.hash as tx_hash, t.block_number
  from pipeline.intents i
  left join lateral (
      select hash, block_number from pipeline.transactions
       where intent_key = i.key
       order by block_number desc nulls last, signed_at desc
       limit 1
  ) t on true
 where i.challenge_id = :challenge_id
   and lower(i.subject) = :subject
   and i.kind in ('bind', 'clear', 'proof')
 order by i.created_at

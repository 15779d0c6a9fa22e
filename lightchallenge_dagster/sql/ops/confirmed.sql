-- The newest intents that are final here, with the transaction that made them so.
select i.key, i.challenge_id, i.status, t.hash, t.block_number, t.block_hash
  from pipeline.intents i
  join pipeline.transactions t on t.intent_key = i.key and t.block_number is not null
 where i.status in ('confirmed', 'reverted')
   and i.chain_id = :chain_id
   and (cast(:challenge_ids as bigint[]) is null
        or i.challenge_id = any(cast(:challenge_ids as bigint[])))
 order by t.block_number desc, i.key
 limit :at_most

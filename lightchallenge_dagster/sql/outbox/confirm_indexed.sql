-- The indexer's checkpoint is at confirmation depth, so a mined transaction in an indexed block
-- with the same hash is final. A block with another hash is left to a look at the chain. Locked in
-- key order, as intents are planned.
with final as materialized (
    select intent.key, tx.receipt_status
      from pipeline.intents intent
      join pipeline.transactions tx
        on tx.intent_key = intent.key and tx.receipt_status in (0, 1)
      join pipeline.chain_blocks block
        on block.chain_id = tx.chain_id
       and block.number = tx.block_number
       and block.hash = tx.block_hash
      join pipeline.checkpoints head
        on head.chain_id = tx.chain_id and head.stream = 'live'
       and head.block_number >= block.number
     where intent.status = 'mined'
     order by intent.key
       for update of intent
)
update pipeline.intents intent
   set status = case final.receipt_status when 1 then 'confirmed' else 'reverted' end,
       updated_at = now()
  from final
 where intent.key = final.key
   and intent.status = 'mined'

-- The indexer's checkpoint is at confirmation depth, so a mined transaction in an indexed block
-- with the same hash is final. A block with another hash is left to a look at the chain.
update pipeline.intents intent
   set status = case tx.receipt_status when 1 then 'confirmed' else 'reverted' end,
       updated_at = now()
  from pipeline.transactions tx
  join pipeline.chain_blocks block
    on block.chain_id = tx.chain_id
   and block.number = tx.block_number
   and block.hash = tx.block_hash
  join pipeline.checkpoints head
    on head.chain_id = tx.chain_id and head.stream = 'live' and head.block_number >= block.number
 where tx.intent_key = intent.key
   and intent.status = 'mined'
   and tx.receipt_status in (0, 1)

-- Final transactions whose block the indexer has replaced: a reorg deeper than the confirmations.
-- A confirmed one is looked at again, and sent again as it is. One that had reverted is given up,
-- because another attempt may have taken its place: its nonce is free.
with forked as (
    select distinct intent.key, intent.status
      from pipeline.intents intent
      join pipeline.transactions tx on tx.intent_key = intent.key and tx.block_number is not null
      join pipeline.chain_blocks block
        on block.chain_id = tx.chain_id
       and block.number = tx.block_number
       and block.hash <> tx.block_hash
     where intent.status in ('confirmed', 'reverted')
       -- This runs in every tick, and no reorg comes a week later.
       and intent.updated_at > now() - interval '7 days'
),
given_up as (
    update pipeline.transactions tx
       set receipt_status = -1, block_number = null, block_hash = null
      from forked
     where tx.intent_key = forked.key and forked.status = 'reverted'
)
update pipeline.intents intent
   set status = case intent.status when 'confirmed' then 'mined' else intent.status end,
       nonce = case intent.status when 'confirmed' then intent.nonce end,
       retry_at = null,
       updated_at = now()
  from forked
 where intent.key = forked.key
   and intent.status = forked.status

-- Intents that can be moved on by looking at the chain: one that was signed and has no block yet
-- (every retry_at), and a mined one whose block the indexer has since confirmed.
select intent.key
  from pipeline.intents intent
 where intent.status in ('signed', 'broadcast')
   and coalesce(intent.retry_at, '-infinity') <= now()
union all
select intent.key
  from pipeline.intents intent
  join pipeline.transactions tx on tx.intent_key = intent.key and tx.block_number is not null
  join pipeline.checkpoints head
    on head.chain_id = intent.chain_id and head.stream = 'live'
   and head.block_number >= tx.block_number
 where intent.status = 'mined'
 order by 1

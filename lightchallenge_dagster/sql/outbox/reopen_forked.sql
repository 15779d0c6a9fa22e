-- Final transactions whose block the indexer has replaced: a reorg deeper than the confirmations.
-- A confirmed one is looked at again, and sent again as it is. One that had reverted is given up,
-- because another attempt may have taken its place: its nonce is free. Intents are locked before
-- their transactions, as everywhere.
with forked as materialized (
    select intent.key, intent.status
      from pipeline.intents intent
     where intent.status in ('confirmed', 'reverted')
       -- This runs in every tick, and no reorg comes a week later.
       and intent.updated_at > now() - interval '7 days'
       and exists (
           select
             from pipeline.transactions tx
             join pipeline.chain_blocks block
               on block.chain_id = tx.chain_id
              and block.number = tx.block_number
              and block.hash <> tx.block_hash
            where tx.intent_key = intent.key)
     order by intent.key
       for update of intent
),
moved as (
    update pipeline.intents intent
       set status = case forked.status when 'confirmed' then 'mined' else intent.status end,
           nonce = case forked.status when 'confirmed' then intent.nonce end,
           retry_at = null,
           updated_at = now()
      from forked
     where intent.key = forked.key
    returning intent.key
),
given_up as (
    update pipeline.transactions tx
       set receipt_status = -1, block_number = null, block_hash = null
      from forked
     where tx.intent_key = forked.key and forked.status = 'reverted'
)
select count(*) from moved

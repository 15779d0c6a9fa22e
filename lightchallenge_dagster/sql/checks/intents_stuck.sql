-- Signed ten minutes ago and without a block, however often it was sent again since; and mined for
-- so long without becoming final. `fees`: what each attempt at the nonce offered, the newest last.
with attempts as (
    select t.intent_key, min(t.signed_at) as signed_at, count(*) - 1 as replacements,
           string_agg(t.max_fee_per_gas::text, ', ' order by t.signed_at) as fees,
           min(t.signed_block) as signed_block, max(t.broadcast_at) as broadcast_at
      from pipeline.transactions t
     where t.receipt_status is distinct from -1
     group by t.intent_key
)
select i.key, i.kind, i.status, i.signer, i.nonce, a.replacements, a.fees as wei_per_gas,
       a.signed_at, a.signed_block, a.broadcast_at, i.last_error
  from pipeline.intents i
  left join attempts a on a.intent_key = i.key
 where i.status in ('signed', 'broadcast', 'mined')
   and coalesce(case when i.status = 'mined' then i.updated_at else a.signed_at end, i.updated_at)
       < now() - interval '10 minutes'
 order by i.signer, i.nonce

-- Signed ten minutes ago and without a block, however often it was sent again since; and mined for
-- so long without becoming final. `wei_per_gas`: what each attempt at the nonce offered, the newest
-- last.
select i.key, i.kind, i.status, i.signer, i.nonce, a.replacements, a.wei_per_gas, a.signed_at,
       a.signed_block, a.broadcast_at, i.last_error
  from pipeline.intents i
 cross join lateral (
      select min(t.signed_at) as signed_at, greatest(count(*) - 1, 0) as replacements,
             string_agg(t.max_fee_per_gas::text, ', ' order by t.signed_at) as wei_per_gas,
             min(t.signed_block) as signed_block, max(t.broadcast_at) as broadcast_at
        from pipeline.transactions t
       where t.intent_key = i.key and t.receipt_status is distinct from -1
 ) a
 where i.status in ('signed', 'broadcast', 'mined')
   and coalesce(case when i.status = 'mined' then i.updated_at else a.signed_at end, i.updated_at)
       < now() - interval '10 minutes'
 order by i.signer, i.nonce

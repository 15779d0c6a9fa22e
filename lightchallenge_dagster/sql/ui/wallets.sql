-- The wallets that sign: what is in flight, and what they spent in the last 24 hours, values and
-- gas, of what blocks hold.
select i.signer,
       count(distinct i.key) filter (where i.status in ('signed', 'broadcast')) as in_flight,
       count(distinct i.key) filter (where i.status = 'mined') as unconfirmed,
       max(t.nonce) filter (where t.block_number is not null) as last_nonce,
       coalesce(sum(t.gas_used * t.effective_gas_price
                    + case t.receipt_status when 1 then i.value_wei else 0 end)
                    filter (where t.block_number is not null
                              and t.signed_at > now() - interval '24 hours'), 0) as spent_wei
  from pipeline.intents i
  join pipeline.transactions t on t.intent_key = i.key
 group by i.signer
 order by i.signer

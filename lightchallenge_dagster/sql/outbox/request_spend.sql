-- Wei spent on AIVM requests that were signed in the last 24 hours. A nonce is spent once: by what
-- was mined, else by the dearest of the transactions that share it.
select coalesce(sum(cost), 0)
  from (
      select i.key,
             coalesce(
                 max(t.gas_used * t.effective_gas_price
                     + case t.receipt_status when 1 then i.value_wei else 0 end)
                     filter (where t.block_number is not null),
                 max(i.value_wei + t.gas * t.max_fee_per_gas)) as cost
        from pipeline.intents i
        join pipeline.transactions t on t.intent_key = i.key
       where i.kind = 'request'
         and i.chain_id = :chain_id
         and t.signed_at > now() - interval '24 hours'
         and t.receipt_status is distinct from -1
       group by i.key
  ) one

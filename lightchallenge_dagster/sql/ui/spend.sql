-- Wei spent by UTC day and kind in the last 30 days: values and gas of what blocks hold.
select (t.signed_at at time zone 'UTC')::date as day,
       i.kind,
       sum(t.gas_used * t.effective_gas_price
           + case t.receipt_status when 1 then i.value_wei else 0 end) as wei
  from pipeline.transactions t
  join pipeline.intents i on i.key = t.intent_key
 where t.block_number is not null
   and t.signed_at > now() - interval '30 days'
 group by 1, 2
 order by 1, 2

with events as (
    select challenge_id, account as subject,
           case event
               when 'ChallengePay.WinnerClaimed' then 'winner'
               when 'ChallengePay.LoserClaimed' then 'loser'
               when 'ChallengePay.RefundClaimed' then 'refund'
               when 'Treasury.ClaimedETH' then 'treasury_eth'
           end as claim_type,
           sum((args ->> 'amount')::numeric) as amount_wei
      from pipeline.chain_logs
     where event in ('ChallengePay.WinnerClaimed', 'ChallengePay.LoserClaimed',
                     'ChallengePay.RefundClaimed', 'Treasury.ClaimedETH')
     group by 1, 2, 3
)
select e.challenge_id, e.subject, e.claim_type, c.amount_wei as stored_wei,
       e.amount_wei as events_wei
  from events e
  left join public.claims c
    on c.challenge_id = e.challenge_id and lower(c.subject) = e.subject
   and c.claim_type = e.claim_type and c.source = 'indexer'
 where c.amount_wei is distinct from e.amount_wei
 order by 1, 2, 3

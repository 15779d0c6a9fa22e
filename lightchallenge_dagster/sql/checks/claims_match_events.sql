-- Claim events added up again. A row may hold more than they say: what an earlier indexer had
-- counted in it before the first indexed block stays counted (index/claims.sql).
with kinds (event, claim_type) as (
    values
        ('ChallengePay.WinnerClaimed', 'winner'),
        ('ChallengePay.LoserClaimed', 'loser'),
        ('ChallengePay.RefundClaimed', 'refund'),
        ('Treasury.ClaimedETH', 'treasury_eth'),
        ('LegacyChallengePay.PrincipalClaimed', 'principal'),
        ('LegacyChallengePay.CashbackClaimed', 'cashback'),
        ('LegacyChallengePay.ValidatorClaimed', 'validator_reward'),
        ('LegacyChallengePay.ValidatorRejectClaimed', 'validator_reject'),
        ('LegacyChallengePay.RejectCreatorClaimed', 'reject_creator'),
        ('LegacyChallengePay.RejectContributionClaimed', 'reject_contribution')
),
events as (
    select l.chain_id, l.challenge_id, l.account as subject, k.claim_type,
           sum((l.args ->> 'amount')::numeric) as amount_wei, array_agg(l.tx_hash) as tx_hashes
      from pipeline.chain_logs l
      join kinds k on k.event = l.event
     where l.challenge_id is not null and l.account is not null
     group by 1, 2, 3, 4
),
expected as (
    select e.challenge_id, e.subject, e.claim_type,
           e.amount_wei + case
               when (a.before ->> 'block_number')::bigint < c.first_block
                    and coalesce(lower(a.before ->> 'tx_hash'), '') <> all (e.tx_hashes)
               then (a.before ->> 'amount_wei')::numeric else 0 end as amount_wei
      from events e
      left join pipeline.checkpoints c on c.chain_id = e.chain_id and c.stream = 'live'
      left join pipeline.adopted_rows a
        on a.table_name = 'claims'
       and a.row_key = e.challenge_id || ':' || e.subject || ':' || e.claim_type
)
select e.challenge_id, e.subject, e.claim_type, c.amount_wei as stored_wei,
       e.amount_wei as events_wei
  from expected e
  left join public.claims c
    on c.challenge_id = e.challenge_id and lower(c.subject) = e.subject
   and c.claim_type = e.claim_type and c.source = 'indexer'
 where c.amount_wei is distinct from e.amount_wei
 order by 1, 2, 3

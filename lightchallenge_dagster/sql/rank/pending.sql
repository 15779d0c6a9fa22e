-- Rankings that are not what they would be now: inputs changed while provisional, or time to close.
-- Closed and frozen ones are settled and never come up; a canceled challenge is not ranked. One
-- closes only when everything that the chain says up to then is indexed: a stake or a moved deadline
-- that is still to be read would leave a winner out for good. The entries' hashes are added up, which
-- needs no order.
with open as materialized (
    select p.challenge_id, p.partition_key, p.top_n, s.inputs_hash as ranked_from, s.problem,
           s.challenge_id is not null as known, p.ranking_closes_at,
           coalesce(k.challenge_id is not null
                    and p.ranking_closes_at <= least(cast(:chain_now as timestamptz),
                                                     to_timestamp(block.timestamp)),
                    false) as closing
      from pipeline.challenge_plans p
      left join pipeline.ranking_states s on s.challenge_id = p.challenge_id
      left join pipeline.chain_challenges k on k.challenge_id = p.challenge_id
      left join pipeline.checkpoints head on head.chain_id = k.chain_id and head.stream = 'live'
      left join pipeline.chain_blocks block
        on block.chain_id = head.chain_id and block.number = head.block_number
      left join public.challenges c on c.id = p.challenge_id
     where p.mode = 'competitive'
       and coalesce(s.state, 'provisional') = 'provisional'
       and k.status is distinct from 'Canceled'
       and coalesce(lower(c.status), '') not in ('canceled', 'rejected')
       and (cast(:partition_key as text) is null or p.partition_key = :partition_key)
       and (cast(:challenge_ids as bigint[]) is null or p.challenge_id = any(:challenge_ids))
), entrants as (
    select o.challenge_id, count(*) as entrants,
           sum(hashtextextended(concat_ws(' ', t.subject, trim_scale(v.score),
                                          extract(epoch from v.created_at), v.evidence_hash), 0)
               ::numeric) as entries
      from open o
      join pipeline.stakes t on t.challenge_id = o.challenge_id and t.amount_wei > 0
      join public.verdicts v on v.challenge_id = o.challenge_id and lower(v.subject) = t.subject
     where v.pass and v.score is not null
     group by o.challenge_id
), inputs as (
    select o.*, coalesce(e.entrants, 0) as entrants,
           md5(concat_ws('|', o.top_n, o.closing, e.entrants, e.entries)) as inputs_hash
      from open o
      left join entrants e on e.challenge_id = o.challenge_id
)
select challenge_id, partition_key, closing, inputs_hash, ranking_closes_at
  from inputs
 where case when problem is not null then :retry or ranked_from is distinct from inputs_hash
            else closing or ((known or entrants > 0) and ranked_from is distinct from inputs_hash)
       end
 order by challenge_id

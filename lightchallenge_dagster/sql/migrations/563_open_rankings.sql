-- As before, but where the chain knows a challenge it says whether that is canceled: the web app may
-- say so before any block does, and a ranking that never closes pays nobody.
create or replace function pipeline.open_rankings(chain_now timestamptz)
returns table (
    challenge_id bigint, partition_key text, top_n integer, ranking_closes_at timestamptz,
    ranked_from text, problem text, known boolean, closing boolean
)
language sql stable
as $$
    select p.challenge_id, p.partition_key, p.top_n, p.ranking_closes_at, s.inputs_hash, s.problem,
           s.challenge_id is not null,
           coalesce(k.challenge_id is not null
                    and p.ranking_closes_at <= least(open_rankings.chain_now,
                                                     to_timestamp(block.timestamp)),
                    false)
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
       and coalesce(lower(c.status), '') <> 'rejected'
       and (k.challenge_id is not null or coalesce(lower(c.status), '') <> 'canceled')
$$;

-- A ranking is written whole, up to a million rows at a time: the table keeps the indexes that are
-- looked up by, and no numbers that nobody asks for.
alter table public.rankings drop column if exists id;
drop index if exists public.rankings_challenge_rank_idx;

-- The competitive challenges whose ranking may still change, and whether one has to close now.
-- Closed and frozen ones are settled and never come up; a canceled challenge is not ranked. One
-- closes only when everything that the chain says up to then is indexed: a stake or a moved deadline
-- that is still to be read would leave a winner out for good.
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
       and coalesce(lower(c.status), '') not in ('canceled', 'rejected')
$$;

-- What one wallet brings into a ranking, as a number: the first 60 bits of its row's hash. Those of a
-- challenge are added up, which needs no order.
create or replace function pipeline.ranking_entry(inputs_hash text) returns bigint
language sql immutable parallel safe
as $$
    select ('x' || left(inputs_hash, 15))::bit(60)::bigint
$$;

-- What a whole ranking is made from: its entries, how many win, and whether it closes.
create or replace function pipeline.ranking_hash(
    top_n integer, closing boolean, entrants bigint, entries numeric
) returns text
language sql immutable parallel safe
as $$
    select md5(row(top_n, closing, coalesce(entrants, 0), coalesce(entries, 0))::text)
$$;

-- Closed and frozen rankings (of some challenges, or all) against what they closed with: `due` winners
-- there must be, `undue` is a wallet that wins without the rank or the score for it, `misplaced` one
-- whose rank is not its place in the order, `altered` one whose row is not what its hash was made from,
-- `open` one whose row says that it has not closed. Nothing is paid from a ranking that is not sound.
-- NaN and infinity are above everything, and no scores.
create or replace function pipeline.settled_rankings(challenge_ids bigint[])
returns table (
    challenge_id bigint, state text, ranked integer, winners integer, stored bigint, won bigint,
    due bigint, undue text, misplaced text, altered text, open text, sound boolean
)
language sql stable
as $$
    select c.*,
           c.stored = c.ranked and c.won = c.winners and c.won = c.due
           and c.undue is null and c.misplaced is null and c.altered is null and c.open is null
      from (
        select t.challenge_id, t.state, t.ranked, t.winners,
               count(r.subject) as stored, count(*) filter (where r.winner) as won,
               least(coalesce(max(r.top_n), 0), count(*) filter (where r.scored)) as due,
               min(r.subject) filter (where r.winner and (r.rank > r.top_n or not r.scored))
                   as undue,
               min(r.subject) filter (where r.rank <> r.place) as misplaced,
               min(r.subject) filter (where r.inputs_hash <> pipeline.ranking_inputs_hash(
                   r.subject, r.score, r.tie_break_at, r.top_n)) as altered,
               min(r.subject) filter (where r.state <> t.state) as open
          from pipeline.ranking_states t
          left join (
                select o.*,
                       row_number() over (partition by o.challenge_id
                                          order by o.score desc nulls last, o.tie_break_at,
                                                   o.subject collate "C") as place,
                       coalesce(o.score > 0 and o.score < 1e19, false) as scored
                  from public.rankings o
                 where settled_rankings.challenge_ids is null
                    or o.challenge_id = any(settled_rankings.challenge_ids)) r
            on r.challenge_id = t.challenge_id
         where t.state in ('closed', 'frozen')
           and (settled_rankings.challenge_ids is null
                or t.challenge_id = any(settled_rankings.challenge_ids))
         group by t.challenge_id, t.state, t.ranked, t.winners
      ) c
$$;

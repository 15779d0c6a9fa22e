-- Winners of a challenge are exactly the best min(topN, ranked with a score above 0), its ranks are
-- 1 to n in the order of score, evidence time and wallet, and none that closed has lost a row. NaN
-- and infinity are above everything, and no scores.
with placed as (
    select challenge_id, rank, score, winner, top_n,
           row_number() over (partition by challenge_id
                              order by score desc nulls last, tie_break_at, subject collate "C")
               as place
      from public.rankings
), counted as (
    select challenge_id, count(*) as ranked, min(top_n) as top_n, max(top_n) as largest_top_n,
           count(*) filter (where score > 0 and score < 1e19) as eligible,
           count(*) filter (where winner) as winners,
           count(*) filter (where winner and (rank > top_n or score is null or score <= 0
                                              or score >= 1e19)) as undue,
           count(*) filter (where rank <> place) as misplaced
      from placed
     group by challenge_id
)
select coalesce(c.challenge_id, t.challenge_id) as challenge_id, c.top_n, c.eligible, c.winners,
       c.ranked, c.misplaced, t.ranked as closed_with, t.winners as closed_with_winners,
       concat_ws('; ',
                 case when c.winners <> least(c.top_n, c.eligible)
                      then format('%s winners where %s are due', c.winners,
                                  least(c.top_n, c.eligible)) end,
                 case when c.undue > 0 then 'a winner is not among the best above 0' end,
                 case when c.misplaced > 0 then 'ranks are not 1 to n in their order' end,
                 case when c.top_n <> c.largest_top_n then 'topN differs from row to row' end,
                 case when coalesce(c.ranked, 0) <> t.ranked or coalesce(c.winners, 0) <> t.winners
                      then 'it closed with other rows' end) as problem
  from counted c
  full join (select * from pipeline.ranking_states where state in ('closed', 'frozen')) t
    on t.challenge_id = c.challenge_id
 where c.winners <> least(c.top_n, c.eligible)
    or c.undue > 0
    or c.misplaced > 0
    or c.top_n <> c.largest_top_n
    or coalesce(c.ranked, 0) <> t.ranked
    or coalesce(c.winners, 0) <> t.winners
 order by 1

-- How the scores of some rankings spread: equal steps from the lowest to the highest, with how many
-- wallets lie in each and how many of them win. NaN and what is no score for a person are left out.
with scored as (
    select challenge_id, score, winner
      from public.rankings
     where challenge_id = any(cast(:challenge_ids as bigint[]))
       and score between -1e30 and 1e30
), bounds as (
    select challenge_id, min(score) as lowest, max(score) as highest
      from scored
     group by challenge_id
)
select b.challenge_id, b.lowest::double precision as lowest, b.highest::double precision as highest,
       case when b.lowest = b.highest then 1
            else least(:steps, width_bucket(s.score, b.lowest, b.highest, :steps)) end as step,
       count(*) as wallets, count(*) filter (where s.winner) as winners
  from bounds b
  join scored s on s.challenge_id = b.challenge_id
 group by 1, 2, 3, 4
 order by 1, 4

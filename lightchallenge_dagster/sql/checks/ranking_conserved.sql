-- Winners of a challenge are exactly the best min(topN, ranked with a score above 0).
select r.challenge_id, r.top_n, count(*) filter (where r.score > 0) as eligible,
       count(*) filter (where r.winner) as winners
  from (select challenge_id, subject, score, winner, rank, max(top_n) over w as top_n
          from public.rankings window w as (partition by challenge_id)) r
 group by r.challenge_id, r.top_n
having count(*) filter (where r.winner) <> least(r.top_n, count(*) filter (where r.score > 0))
    or count(*) filter (where r.winner and r.rank > r.top_n) > 0
 order by r.challenge_id

-- The wallets just above and below a rank, and the last one that wins.
select lower(subject) as subject, rank, score, winner, tie_break_at
  from public.rankings
 where challenge_id = :challenge_id
   and (rank in (:rank - 1, :rank, :rank + 1)
        or rank = (select max(rank) from public.rankings
                    where challenge_id = :challenge_id and winner))
 order by rank, subject

-- What is stored is looked up first: to the planner an empty table costs nothing to read for every
-- row, and it would grow meanwhile.
with stored as materialized (
    select t.wallet from public.season_standings t where t.season_id = :season_id
)
insert into public.season_standings
    (season_id, wallet, points, wins, losses, draws, competitions_entered)
select cast(:season_id as uuid), s.wallet, s.points, s.wins, s.losses, s.draws,
       s.competitions_entered
  from staged_standings s
 where not exists (select 1 from stored t where t.wallet = s.wallet)

update public.season_standings t
   set points = s.points, wins = s.wins, losses = s.losses, draws = s.draws,
       competitions_entered = s.competitions_entered, updated_at = now()
  from staged_standings s
 where t.season_id = :season_id and t.wallet = s.wallet
   and (t.points, t.wins, t.losses, t.draws, t.competitions_entered)
       is distinct from (s.points, s.wins, s.losses, s.draws, s.competitions_entered)

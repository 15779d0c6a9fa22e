delete from public.season_standings t
 where t.season_id = :season_id
   and not exists (select 1 from staged_standings s where s.wallet = t.wallet)

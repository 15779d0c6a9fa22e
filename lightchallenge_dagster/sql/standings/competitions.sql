select sc.competition_id::text as competition_id, sc.weight::text as weight
  from public.season_competitions sc
  join public.competitions c on c.id = sc.competition_id
 where sc.season_id = :season_id
 order by sc.competition_id

-- Each once, whatever the table's constraints are; listed with several weights, with each of them.
select distinct sc.competition_id::text as competition_id, sc.weight::text as weight
  from public.season_competitions sc
  join public.competitions c on c.id = sc.competition_id
 where sc.season_id = :season_id
 order by 1, 2

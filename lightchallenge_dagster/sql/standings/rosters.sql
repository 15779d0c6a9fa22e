-- The teams that play in a season, each with its wallets.
select t.id::text as team_id,
       coalesce(array_agg(lower(btrim(r.wallet))) filter (where r.wallet is not null),
                '{}'::text[]) as wallets
  from public.teams t
  left join public.team_roster r on r.team_id = t.id
 where t.id::text in (
           select lower(btrim(side))
             from public.season_competitions sc
             join public.bracket_matches m
               on m.competition_id = sc.competition_id and lower(m.status) = 'completed',
                  unnest(array[m.participant_a, m.participant_b]) as side
            where sc.season_id = :season_id)
 group by t.id

-- The teams that play in a season with their wallets, a row each; a team without any has one with
-- a null wallet.
select t.id::text as team_id, r.wallet
  from public.teams t
  left join public.team_roster r on r.team_id = t.id
 where t.id::text in (
           select lower(btrim(side))
             from public.season_competitions sc
             join public.bracket_matches m
               on m.competition_id = sc.competition_id and lower(m.status) = 'completed',
                  unnest(array[m.participant_a, m.participant_b]) as side
            where sc.season_id = :season_id
              and length(btrim(side)) = 36)

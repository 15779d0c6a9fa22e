select m.id::text as id, m.competition_id::text as competition_id, m.participant_a,
       m.participant_b, m.score_a, m.score_b, m.winner
  from public.season_competitions sc
  join public.bracket_matches m on m.competition_id = sc.competition_id
 where sc.season_id = :season_id
   and lower(m.status) = 'completed'
 order by m.competition_id, m.round, m.match_number, m.id

select m.id::text as id, m.competition_id::text as competition_id, m.participant_a,
       m.participant_b, m.score_a, m.score_b, m.winner
  from public.bracket_matches m
 where m.competition_id in (select sc.competition_id from public.season_competitions sc
                             where sc.season_id = :season_id)
   and lower(m.status) = 'completed'

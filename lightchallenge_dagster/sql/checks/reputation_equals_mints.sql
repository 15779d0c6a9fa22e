with points (achievement_type, points) as (
    values ('completion', 50), ('victory', 150), ('streak', 100), ('first_win', 200),
           ('participation', 30), ('top_scorer', 250), ('undefeated', 300), ('comeback', 175),
           ('speedrun', 125), ('social', 25), ('early_adopter', 100), ('veteran', 75),
           ('perfectionist', 200), ('explorer', 50)
), mints as (
    select lower(m.recipient) as subject, sum(coalesce(p.points, 0)) as points
      from public.achievement_mints m
      left join points p using (achievement_type)
     group by 1
)
select coalesce(m.subject, r.subject) as subject, r.points as stored, m.points as from_mints
  from mints m
  full join public.reputation r on r.subject = m.subject
 where coalesce(r.points, 0) <> coalesce(m.points, 0)
 order by 1

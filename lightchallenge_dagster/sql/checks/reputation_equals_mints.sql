-- Points, level, completions and victories of each wallet, from its mints a second way. A wallet
-- without mints has no row.
with worth (kind, points) as (
    values ('completion', 50), ('victory', 150), ('streak', 100), ('first_win', 200),
           ('participation', 30), ('top_scorer', 250), ('undefeated', 300), ('comeback', 175),
           ('speedrun', 125), ('social', 25), ('early_adopter', 100), ('veteran', 75),
           ('perfectionist', 200), ('explorer', 50)
), mints as (
    select lower(m.recipient) as subject, sum(coalesce(w.points, 0)) as points,
           count(*) filter (where lower(m.achievement_type) = 'completion') as completions,
           count(*) filter (where lower(m.achievement_type) = 'victory') as victories
      from public.achievement_mints m
      left join worth w on w.kind = lower(m.achievement_type)
     group by lower(m.recipient)
), due as (
    select m.*, case when m.points >= 2000 then 5 when m.points >= 800 then 4
                     when m.points >= 300 then 3 when m.points >= 100 then 2 else 1 end as level
      from mints m
)
select coalesce(r.subject, d.subject) as subject, r.points, d.points as points_from_mints,
       r.level, d.level as level_from_mints, r.completions,
       d.completions as completions_from_mints, r.victories, d.victories as victories_from_mints
  from due d
  full join public.reputation r on r.subject = d.subject
 where (r.points, r.level, r.completions, r.victories)
       is distinct from (d.points, d.level, d.completions, d.victories)
 order by 1

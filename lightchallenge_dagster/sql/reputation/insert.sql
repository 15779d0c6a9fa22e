insert into public.reputation (subject, points, level, completions, victories, updated_at)
select s.subject, s.points, s.level, s.completions, s.victories, now()
  from staged_reputation s
 where not exists (select 1 from public.reputation r where r.subject = s.subject)
 order by s.subject

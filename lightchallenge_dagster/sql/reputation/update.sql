update public.reputation r
   set points = s.points, level = s.level, completions = s.completions, victories = s.victories,
       updated_at = now()
  from staged_reputation s
 where s.subject = r.subject
   and (r.points, r.level, r.completions, r.victories)
       is distinct from (s.points, s.level, s.completions, s.victories)

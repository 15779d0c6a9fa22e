-- A contract said no and no later try of the same effect went through.
select key, kind, status, refusals, last_error, updated_at
  from pipeline.intents i
 where status in ('reverted', 'refused')
   and not exists (
       select from pipeline.intents later
        where later.kind = i.kind
          and later.challenge_id is not distinct from i.challenge_id
          and later.subject is not distinct from i.subject
          and later.created_at > i.created_at
          and later.status in ('mined', 'confirmed'))
 order by updated_at desc

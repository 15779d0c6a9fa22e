-- The request that a job was just noted with may be further already.
update public.challenges c
   set proof = c.proof || p.patch, updated_at = now()
  from pipeline.request_progress p
 where c.id = :challenge_id
   and p.task_id = :task_id
   and jsonb_typeof(c.proof) = 'object'
   and c.proof is distinct from c.proof || p.patch

select key, kind, status, nonce, last_error, updated_at
  from pipeline.intents
 where status in ('signed', 'broadcast', 'mined')
   and updated_at < now() - interval '10 minutes'
 order by updated_at

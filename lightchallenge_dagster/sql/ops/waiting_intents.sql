-- Effects that are wanted and not on chain: not signed yet, or signed and without a block.
select i.key, i.kind, i.challenge_id, i.signer, i.status,
       coalesce(i.last_error,
                case when i.status in ('signed', 'broadcast') then 'sent, and no block holds it yet'
                end) as reason,
       case when i.retry_at > now() then i.retry_at end as retry_at
  from pipeline.intents i
 where i.status in ('planned', 'refused', 'signed', 'broadcast')
   and i.kind = any(cast(:kinds as text[]))
   and not exists (
       select from pipeline.intents later
        where later.kind = i.kind
          and later.challenge_id is not distinct from i.challenge_id
          and later.subject is not distinct from i.subject
          and later.created_at > i.created_at
          and later.status in ('mined', 'confirmed'))
 order by i.retry_at nulls first, i.challenge_id, i.key

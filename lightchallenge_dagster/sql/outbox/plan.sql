-- Write down intents before anything is signed for them. An intent that has a transaction keeps
-- what it says: only one that was never signed may be planned anew with other content.
insert into pipeline.intents as intent
    (key, chain_id, kind, challenge_id, subject, signer, to_address, data, value_wei)
values (:key, :chain_id, :kind, :challenge_id, :subject, :signer, :to, :data, :value_wei)
on conflict (key) do update
   set signer = excluded.signer,
       to_address = excluded.to_address,
       data = excluded.data,
       value_wei = excluded.value_wei,
       updated_at = now()
 where intent.status in ('planned', 'refused')
   and (intent.signer, intent.to_address, intent.data, intent.value_wei)
       is distinct from
       (excluded.signer, excluded.to_address, excluded.data, excluded.value_wei)

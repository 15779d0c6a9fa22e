-- Wallets whose mints are gone, by a reorg for example.
delete from public.reputation r
 where not exists (select 1 from staged_reputation s where s.subject = r.subject)

-- Planned over ten minutes ago, not signed, and what is in the way is ours to mend: a limit, the
-- wallet's coins, an address without a contract (the words are those of steps/sending). Every try
-- touches an intent, so one that nobody has tried for half an hour is not wanted any more. The daily
-- limit is `request_spend`'s.
select i.key, i.kind, i.challenge_id, i.signer, i.last_error as waits_for, i.created_at as since
  from pipeline.intents i
 where i.status in ('planned', 'refused')
   and i.last_error ~ ('^(gas costs \d+ wei, more than the maximum of '
                       '|the wallet 0x\w+ holds -?\d+ wei and needs '
                       '|it carries \d+ wei, more than the maximum of '
                       '|it takes \d+ gas, more than the \d+ of a block'
                       '|no contract is at 0x)')
   and i.created_at < now() - interval '10 minutes'
   and i.updated_at > now() - interval '30 minutes'
 order by i.created_at, i.key

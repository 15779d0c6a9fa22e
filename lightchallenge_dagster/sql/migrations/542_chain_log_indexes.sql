-- Indexes of pipeline.chain_logs, one for each way in which rows are looked up by their keys:
--   what happened to one wallet in one challenge (stakes, winners, bindings, claims),
--   what became of one challenge (chain_challenges, challenges): few events among many joins,
--   the steps of one inference request, and its attestations by task,
--   the mints of one token,
--   what could not be decoded (a check reads them at each tick).
-- Each holds only the events that are looked up by it: every entry is paid for at each commit,
-- and an index by wallet first is written all over at once. Each begins with the chain, as the
-- look-ups do: before the table's first ANALYZE the planner takes a chain for one of two hundred
-- and would read the whole primary key for it.

create index if not exists chain_logs_subject_idx
    on pipeline.chain_logs (chain_id, challenge_id, account)
    where challenge_id is not null and account is not null;
create index if not exists chain_logs_lifecycle_idx
    on pipeline.chain_logs (chain_id, challenge_id, block_number, log_index)
    where event in ('ChallengePay.ChallengeCreated', 'ChallengePay.VerificationConfigUpdated',
                    'ChallengePay.Finalized', 'ChallengePay.Canceled', 'ChallengePay.Paused');
create index if not exists chain_logs_inference_idx
    on pipeline.chain_logs (chain_id, request_id)
    where event in ('AIVMInferenceV2.InferenceRequestedV2', 'AIVMInferenceV2.InferenceCommitted',
                    'AIVMInferenceV2.InferenceRevealed', 'AIVMInferenceV2.InferenceFinalized');
create index if not exists chain_logs_by_task_idx
    on pipeline.chain_logs (chain_id, (args ->> 'taskId'))
    where event in ('AIVMInferenceV2.InferenceRequestedV2', 'AIVMInferenceV2.PoIAttested');
create index if not exists chain_logs_by_token_idx
    on pipeline.chain_logs (chain_id, (args ->> 'tokenId'))
    where event in ('ChallengeAchievement.AchievementMinted', 'ChallengeAchievement.AdminMinted');
create index if not exists chain_logs_problem_idx
    on pipeline.chain_logs (block_number, log_index) where problem is not null;

drop index if exists pipeline.chain_logs_challenge_idx;
drop index if exists pipeline.chain_logs_account_idx;
drop index if exists pipeline.chain_logs_request_idx;
drop index if exists pipeline.chain_logs_task_idx;
drop index if exists pipeline.chain_logs_token_idx;

-- What each wallet got from a challenge, every coin counted once. public.claims shows the coins of
-- a paid winner twice: ChallengePay *grants* them (winner, loser, refund), then the Treasury pays
-- them out (treasury_eth), at once where they are pushed, in parts or never where the wallet pulls.
--
--   granted_wei   winner + loser + refund: what ChallengePay said is the wallet's
--   paid_wei      treasury_eth: what the Treasury paid to this wallet
--   total_wei     each coin once. Of the two numbers the larger: a grant that is not (all) pulled
--                 still counts, and what was paid beyond the grants (the creator's and the
--                 protocol's fees leave by the same door, without an event of ChallengePay's) is
--                 counted too. While grants are not pulled a paid fee can hide behind them.
--   waiting_wei   granted and not seen leaving: total_wei - paid_wei
--   legacy_wei    pre-V1 claims (principal, cashback, …), each its own coins, paid directly. Their
--                 ids overlap V1's, so this is another challenge of that number, and in no total.
--
-- Sums over wallets: the Treasury pays whom the caller names (claimETHTo) and its event does not
-- say who called, so such coins are granted to one wallet and paid to another, and a sum of
-- total_wei has them twice. sum(granted_wei) and sum(paid_wei) each have every coin once.
-- In an ERC-20 challenge amounts are units of its token, which leave as ClaimedERC20: those make
-- no claim, so paid_wei and waiting_wei are null there. Rows of the web app that no event has
-- confirmed yet (source 'ui') are left out.
create or replace view pipeline.claim_totals as
select sums.challenge_id, sums.subject,
       case when c.currency = 1 then c.token end as token,
       sums.granted_wei,
       case when c.currency is distinct from 1 then sums.treasury_wei end as paid_wei,
       greatest(sums.granted_wei, sums.treasury_wei) as total_wei,
       case when c.currency is distinct from 1
            then greatest(sums.granted_wei - sums.treasury_wei, 0) end as waiting_wei,
       sums.legacy_wei
from (
    select challenge_id, lower(subject) as subject,
           coalesce(sum(amount_wei) filter (
               where claim_type in ('winner', 'loser', 'refund')), 0) as granted_wei,
           coalesce(sum(amount_wei) filter (where claim_type = 'treasury_eth'), 0)
               as treasury_wei,
           coalesce(sum(amount_wei) filter (where claim_type in (
               'principal', 'cashback', 'validator_reward', 'validator_reject',
               'reject_creator', 'reject_contribution')), 0) as legacy_wei
    from public.claims
    where source = 'indexer'
    group by challenge_id, lower(subject)
) sums
left join pipeline.chain_challenges c on c.challenge_id = sums.challenge_id;

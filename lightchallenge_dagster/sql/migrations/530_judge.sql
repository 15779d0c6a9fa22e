-- When a wallet submitted: created_at of its first evidence row for the challenge that held a
-- recognised record. Null while none did; once known it never moves, whatever is uploaded later.
alter table pipeline.judgements add column if not exists submitted_at timestamptz;

-- Why a challenge could not be ranked. Its ranking is left alone until the inputs change.
alter table pipeline.ranking_states add column if not exists problem text;

-- Outcomes of challenges that have none. The row as it was before the indexer adopted it gets it
-- too: from there a rebuild starts, and it would take the outcome away again.
with found as (
    select * from unnest(cast(:ids as bigint[]), cast(:outcomes as smallint[])) as f (id, outcome)
),
written as (
    update public.challenges c
       set chain_outcome = f.outcome, updated_at = now()
      from found f
     where c.id = f.id and lower(c.status) = 'finalized' and c.chain_outcome is null
    returning c.id, c.chain_outcome
),
remembered as (
    update pipeline.adopted_rows a
       set before = a.before || jsonb_build_object('chain_outcome', w.chain_outcome)
      from written w
     where a.table_name = 'challenges' and a.row_key = w.id::text and a.before is not null
)
select id from written order by id

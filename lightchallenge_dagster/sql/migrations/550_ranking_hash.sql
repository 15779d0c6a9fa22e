-- What a row of a ranking was made from, as one hash that anybody can compute again from the row.
-- The score without trailing zeros and the time as seconds since 1970 do not depend on how a
-- session shows them.
create or replace function pipeline.ranking_inputs_hash(
    subject text, score numeric, tie_break_at timestamptz, top_n integer
) returns text
language sql stable parallel safe
as $$
    select md5(coalesce(subject, '') || '|' || coalesce(trim_scale(score)::text, '') || '|'
               || coalesce(extract(epoch from tie_break_at)::text, '') || '|'
               || coalesce(top_n::text, ''))
$$;

update public.rankings r
   set inputs_hash = pipeline.ranking_inputs_hash(r.subject, r.score, r.tie_break_at, r.top_n)
 where r.inputs_hash is distinct from
       pipeline.ranking_inputs_hash(r.subject, r.score, r.tie_break_at, r.top_n);

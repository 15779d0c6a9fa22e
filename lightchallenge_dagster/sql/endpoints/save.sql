-- One endpoint as this process leaves it. Counts are what it adds, and the range is written when it
-- was learned here, so that a short run does not put back what a longer one has found out.
insert into pipeline.rpc_endpoints as known (
    chain_id, fingerprint, label, range_blocks, range_maximum, range_served, range_refused, counts,
    failures, good_answers, rests_until, last_error, last_error_at, last_answer_at)
values (
    :chain_id, :fingerprint, :label, :blocks, :maximum, :served, :refused, cast(:counts as jsonb),
    :failures, :good,
    case when :rest_s > 0 then now() + make_interval(secs => :rest_s) end,
    :last_error, :last_error_at, :last_answer_at)
on conflict (chain_id, fingerprint) do update set
    label = excluded.label,
    range_blocks  = case when :learned then excluded.range_blocks else known.range_blocks end,
    range_maximum = case when :learned then excluded.range_maximum else known.range_maximum end,
    range_served  = case when :learned then excluded.range_served else known.range_served end,
    range_refused = case when :learned then excluded.range_refused else known.range_refused end,
    counts = (
        select coalesce(jsonb_object_agg(
            kind,
            coalesce((known.counts ->> kind)::bigint, 0)
            + coalesce((excluded.counts ->> kind)::bigint, 0)), '{}')
        from jsonb_object_keys(known.counts || excluded.counts) as kind),
    failures = excluded.failures,
    good_answers = excluded.good_answers,
    rests_until = excluded.rests_until,
    last_error = coalesce(excluded.last_error, known.last_error),
    last_error_at = coalesce(excluded.last_error_at, known.last_error_at),
    last_answer_at = coalesce(excluded.last_answer_at, known.last_answer_at),
    updated_at = now()
where excluded.counts <> '{}' or :learned or known.label <> excluded.label

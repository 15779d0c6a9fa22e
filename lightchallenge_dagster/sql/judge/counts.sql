select count(*) filter (where settled and not :overwrite_settled) as settled from staged_verdicts

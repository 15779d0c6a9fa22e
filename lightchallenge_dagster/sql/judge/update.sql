update public.verdicts v
   set pass = s.pass, reasons = s.reasons, evidence_hash = s.evidence_hash,
       evaluator = s.evaluator, score = s.score,
       metadata = s.metadata || case when s.ranked and v.metadata ? 'ranking'
                                     then jsonb_build_object('ranking', v.metadata -> 'ranking')
                                     else '{}'::jsonb end,
       created_at = s.created_at, updated_at = now()
  from staged_verdicts s
 where v.challenge_id = s.challenge_id and lower(v.subject) = s.subject
   and (not s.settled or :overwrite_settled)
   and (v.pass, v.reasons, v.evidence_hash, v.evaluator, v.score, v.created_at,
        coalesce(v.metadata, '{}'::jsonb) - case when s.ranked then 'ranking' else '' end)
       is distinct from
       (s.pass, s.reasons, s.evidence_hash, s.evaluator, s.score, s.created_at, s.metadata)

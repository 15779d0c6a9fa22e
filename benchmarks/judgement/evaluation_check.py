"""What has to come out the same on both sides: every verdict on the first rows of evidence."""

from __future__ import annotations

VERDICTS = """
select count(*),
       md5(string_agg(concat_ws(' ', v.challenge_id, v.subject, v.pass, trim_scale(v.score),
                                v.reasons, v.evaluator, v.evidence_hash, v.metadata), ','
                      order by v.challenge_id, v.subject collate "C"))
  from (select challenge_id, lower(subject) as subject from public.evidence
         order by id limit %s) e
  join public.verdicts v on v.challenge_id = e.challenge_id and lower(v.subject) = e.subject
"""

-- Passing verdicts with stake, whoever wrote them, where the verdict itself decides who wins; or
-- those of which nobody can say yet whether they win (:undecided): an earlier worker wrote them and
-- they were not judged since, or the rule cannot be read, and so not the mode either.
select t.challenge_id, t.subject
  from pipeline.stakes t
  join public.verdicts v on v.challenge_id = t.challenge_id and lower(v.subject) = t.subject
  left join pipeline.challenge_plans p on p.challenge_id = t.challenge_id
 where t.challenge_id = any(cast(:challenge_ids as bigint[]))
   and t.amount_wei > 0
   and v.pass
   and not exists (select from pipeline.ranking_states s
                    where s.challenge_id = t.challenge_id and s.state in ('closed', 'frozen'))
   and case when :undecided and p.problem is not null then true
            when coalesce(p.mode, 'threshold') <> 'threshold' then false
            else not (:undecided and exists (select from pipeline.judgements j
                                              where j.challenge_id = t.challenge_id
                                                and j.subject = t.subject)) end

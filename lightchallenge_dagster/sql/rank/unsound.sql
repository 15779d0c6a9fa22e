-- The partition's closed and frozen rankings that pay nobody.
select o.challenge_id, o.state, o.ranked, o.winners, o.stored, o.won, o.due, o.undue, o.misplaced,
       o.altered, o.open
  from pipeline.settled_rankings o
  join pipeline.challenge_plans p on p.challenge_id = o.challenge_id
 where not o.sound
   and p.partition_key = :partition_key
   and o.challenge_id <> all(cast(:but as bigint[]))
 order by o.challenge_id

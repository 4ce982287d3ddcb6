-- Two journeys with one opportunity would count its win twice.
select source_system, opportunity_id, count(*) as journeys
from {{ ref('fct_journey') }}
where opportunity_id is not null
group by source_system, opportunity_id
having count(*) > 1

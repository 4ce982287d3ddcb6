select metric, owner_type, owner_id, period_start, period_end, scenario, count(*) as versions
from {{ ref('fct_plan') }}
where is_current_version
group by source_system, metric, owner_type, owner_id, period_start, period_end, scenario
having count(*) > 1

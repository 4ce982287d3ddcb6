-- What the agreement says of an opportunity's stage: step 60 is a win, the outcome `lost` a loss, anything else is open.
select
    source_value as stage,
    coalesce(step_order = 60, false) as is_won,
    coalesce(outcome = 'lost', false) as is_lost
from {{ ref('stage_map') }}
where object = 'opportunity'

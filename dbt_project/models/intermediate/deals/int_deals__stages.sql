-- What the agreement says of an opportunity's stage today: the last step is a win, the outcome `lost` a loss, anything else is open.
select
    source_value as stage,
    coalesce(step = 'won', false) as is_won,
    coalesce(outcome = 'lost', false) as is_lost
from {{ ref('stage_map') }}
where object = 'opportunity'
    and cast({{ as_of() }} as date) >= valid_from
    and cast({{ as_of() }} as date) < valid_to

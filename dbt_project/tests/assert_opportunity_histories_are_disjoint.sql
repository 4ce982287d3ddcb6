-- One value at any instant, and the last one is what the record says.
with

history as (
    select
        *,
        lead(valid_from) over (partition by opportunity_key, field order by valid_from) as next_from,
        row_number() over (partition by opportunity_key, field order by valid_from) as nth
    from {{ ref('int_deals__field_history') }}
)

select history.opportunity_key, history.field, history.value, history.valid_from, history.valid_to
from history
inner join {{ ref('int_deals__opportunities') }} as opportunities on history.opportunity_key = opportunities.opportunity_key
where history.valid_from >= history.valid_to
    or history.valid_to <> coalesce(history.next_from, {{ end_of_time() }})
    or (history.nth = 1 and history.valid_from <> {{ beginning_of_time() }})
    or (history.next_from is null and history.field = 'stage' and history.value is distinct from opportunities.stage)
    or (history.next_from is null and history.field = 'owner' and history.value is distinct from opportunities.owner_id)

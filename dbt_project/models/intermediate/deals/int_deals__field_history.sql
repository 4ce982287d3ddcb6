{# How a field of the record reads as text, so that it compares with what the change log wrote. -#}
{% set fields = {
    'stage': 'opportunities.stage', 'currency': 'opportunities.currency', 'forecast_category': 'opportunities.forecast_category',
    'owner': 'opportunities.owner_id', 'close_date': 'cast(opportunities.close_date as ' ~ dbt.type_string() ~ ')',
    'amount': 'cast(opportunities.amount as ' ~ dbt.type_string() ~ ')',
    'probability': 'cast(opportunities.probability as ' ~ dbt.type_string() ~ ')',
} -%}

-- The value of each tracked field at any instant. What was before the first word of the log is the first old value; where the
-- record says something else than the last word of the log (not every source tracks every field), the record is right from
-- the moment of its last modification on.
with

opportunities as (
    select * from {{ ref('int_deals__opportunities') }}
),

changes as (
    {{ one_record_each('opportunity_changes') }}
),

-- ids count up, and are padded or not
spoken as (
    select
        opportunities.opportunity_key, changes.field, changes.changed_at,
        {{ tracked_value('changes.old_value', 'changes.field') }} as old_value,
        {{ tracked_value('changes.new_value', 'changes.field') }} as new_value,
        row_number() over (
            partition by opportunities.opportunity_key, changes.field
            order by changes.changed_at, length(changes.change_id), changes.change_id
        ) as nth,
        row_number() over (
            partition by opportunities.opportunity_key, changes.field, changes.changed_at
            order by length(changes.change_id) desc, changes.change_id desc
        ) as nth_last_of_moment
    from changes
    inner join opportunities
        on changes.source_system = opportunities.source_system
        and changes.opportunity_id = opportunities.opportunity_id
    where changes.field in ('{{ fields | join("', '") }}')
        and changes.changed_at <= {{ as_of() }}
),

recorded as (
    {% for field, expression in fields.items() -%}
    select
        opportunities.opportunity_key, '{{ field }}' as field, {{ expression }} as value,
        least(coalesce(opportunities.modified_at, opportunities._known_at), {{ as_of() }}) as modified_at
    from opportunities
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

last_words as (
    select opportunity_key, field, new_value, changed_at
    from (
        select *, row_number() over (partition by opportunity_key, field order by nth desc) as nth_last
        from spoken
    ) as counted
    where nth_last = 1
),

moments as (
    select opportunity_key, field, {{ beginning_of_time() }} as valid_from, old_value as value
    from spoken
    where nth = 1

    union all

    select opportunity_key, field, changed_at as valid_from, new_value as value
    from spoken
    where nth_last_of_moment = 1

    union all

    select
        recorded.opportunity_key, recorded.field,
        case
            when last_words.opportunity_key is null then {{ beginning_of_time() }}
            else greatest(recorded.modified_at, {{ dbt.dateadd('second', 1, 'last_words.changed_at') }})
        end as valid_from,
        recorded.value
    from recorded
    left join last_words
        on recorded.opportunity_key = last_words.opportunity_key
        and recorded.field = last_words.field
    where last_words.opportunity_key is null
        or recorded.value is distinct from last_words.new_value
),

compared as (
    select
        *,
        lag(value) over (partition by opportunity_key, field order by valid_from) as value_before,
        row_number() over (partition by opportunity_key, field order by valid_from) as nth
    from moments
),

-- saying the same again changes nothing
changed as (
    select opportunity_key, field, valid_from, value
    from compared
    where nth = 1
        or value is distinct from value_before
)

select
    opportunity_key,
    field,
    value,
    valid_from,
    coalesce(lead(valid_from) over (partition by opportunity_key, field order by valid_from), {{ end_of_time() }}) as valid_to
from changed

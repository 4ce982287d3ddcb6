with

members as (
    select * from {{ ref('funnel_steps') }}

    union all

    select
        'unknown' as version, 0 as step_order, 'unknown' as step, 'Unknown' as step_name, 'unknown' as entry_rule,
        'unknown' as accountable_team, 'unknown' as responsible_role, null as sla_business_minutes, null as expires_after_days,
        'unknown' as agreed_by_role, null as agreed_on, cast('1900-01-01' as date) as valid_from, cast('9999-12-31' as date) as valid_to
)

select
    cast(case when step = 'unknown' then '-1' else {{ surrogate_key(['version', 'step']) }} end as {{ dbt.type_string() }}) as funnel_step_key,
    cast(version as {{ dbt.type_string() }}) as version,
    cast(step_order as integer) as step_order,
    cast(step as {{ dbt.type_string() }}) as step,
    cast(step_name as {{ dbt.type_string() }}) as step_name,
    cast(entry_rule as {{ dbt.type_string() }}) as entry_rule,
    cast(accountable_team as {{ dbt.type_string() }}) as accountable_team,
    cast(responsible_role as {{ dbt.type_string() }}) as responsible_role,
    cast(sla_business_minutes as integer) as sla_business_minutes,
    cast(expires_after_days as integer) as expires_after_days,
    cast(agreed_by_role as {{ dbt.type_string() }}) as agreed_by_role,
    cast(agreed_on as date) as agreed_on,
    cast(valid_from as date) as valid_from,
    cast(valid_to as date) as valid_to,
    cast({{ as_of() }} as date) >= valid_from and cast({{ as_of() }} as date) < valid_to as is_current
from members

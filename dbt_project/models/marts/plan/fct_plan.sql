with

plans as (
    select * from {{ ref('int_plan__converted') }}
    where not is_held
)

select
    cast(plan_key as {{ dbt.type_string() }}) as plan_key,
    cast(source_system as {{ dbt.type_string() }}) as source_system,
    cast(stream as {{ dbt.type_string() }}) as stream,
    cast(metric as {{ dbt.type_string() }}) as metric,
    cast(owner_type as {{ dbt.type_string() }}) as owner_type,
    cast(owner_id as {{ dbt.type_string() }}) as owner_id,
    cast(territory_key as {{ dbt.type_string() }}) as territory_key,
    cast(rep_key as {{ dbt.type_string() }}) as rep_key,
    cast(period_start as date) as period_start,
    cast(period_end as date) as period_end,
    cast(scenario as {{ dbt.type_string() }}) as scenario,
    cast(version as {{ dbt.type_string() }}) as version,
    cast(valid_as_of as date) as valid_as_of,
    cast(is_current_version as boolean) as is_current_version,
    cast(plan_value as decimal(18, 6)) as plan_value,
    cast(currency as {{ dbt.type_string() }}) as currency,
    cast(plan_amount_rc as decimal(18, 6)) as plan_amount_rc,
    cast({{ sql_text(var('reporting_currency')) }} as {{ dbt.type_string() }}) as reporting_currency,
    cast(fx_rate as decimal(18, 9)) as fx_rate,
    cast(fx_date as date) as fx_date,
    cast(is_fx_carried as boolean) as is_fx_carried,
    cast(approved_by as {{ dbt.type_string() }}) as approved_by,
    cast(_load_id as {{ dbt.type_string() }}) as _load_id
from plans

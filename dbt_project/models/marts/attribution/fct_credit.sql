with

-- a win that was taken back is no conversion any more
conversions as (
    select * from {{ ref('int_attribution__conversions') }}
    where reversed_at is null
),

weights as (
    select * from {{ ref('int_attribution__weights') }}
),

bookings as (
    select * from {{ ref('int_attribution__bookings') }}
),

credited as (
    select bookings.conversion_key, credit.model, credit.touch_key, sum(credit.credited_cents) as credited_cents
    from {{ ref('int_attribution__booking_credit') }} as credit
    inner join bookings on credit.revenue_key = bookings.revenue_key
    where bookings.conversion_key is not null
    group by bookings.conversion_key, credit.model, credit.touch_key
),

touches as (
    select * from {{ ref('int_touch__resolved') }}
)

select
    {{ surrogate_key(['weights.conversion_key', 'weights.model', 'weights.touch_key']) }} as credit_key,
    cast(weights.conversion_key as {{ dbt.type_string() }}) as conversion_key,
    cast(conversions.conversion_type as {{ dbt.type_string() }}) as conversion_type,
    cast(conversions.conversion_id as {{ dbt.type_string() }}) as conversion_id,
    cast(conversions.conversion_at as timestamp) as conversion_at,
    cast(conversions.conversion_at as date) as conversion_date,
    cast(weights.model as {{ dbt.type_string() }}) as model,
    weights.model = conversions.primary_model as is_primary_model,
    cast(conversions.path_unit as {{ dbt.type_string() }}) as path_unit,
    cast(conversions.lookback_days as integer) as lookback_days,
    cast(coalesce(conversions.person_key, '-1') as {{ dbt.type_string() }}) as person_key,
    cast(coalesce(conversions.account_key, '-1') as {{ dbt.type_string() }}) as account_key,
    cast(coalesce(conversions.opportunity_key, '-1') as {{ dbt.type_string() }}) as opportunity_key,
    cast(weights.touch_key as {{ dbt.type_string() }}) as touch_key,
    cast(touches.touch_date as date) as touch_date,
    cast(coalesce(touches.channel, 'unattributed') as {{ dbt.type_string() }}) as channel,
    cast(coalesce(touches.campaign_key, '-1') as {{ dbt.type_string() }}) as campaign_key,
    weights.unattributed_reason is null as is_attributed,
    cast(weights.unattributed_reason as {{ dbt.type_string() }}) as unattributed_reason,
    cast(weights.weight_micro as bigint) as weight_micro,
    case when conversions.conversion_type <> 'lead' then {{ from_cents('coalesce(credited.credited_cents, 0)') }} end as credited_amount_rc,
    cast({{ sql_text(var('reporting_currency')) }} as {{ dbt.type_string() }}) as reporting_currency
from weights
inner join conversions on weights.conversion_key = conversions.conversion_key
left join credited
    on weights.conversion_key = credited.conversion_key
    and weights.model = credited.model
    and weights.touch_key = credited.touch_key
left join touches on weights.touch_key = touches.touch_key

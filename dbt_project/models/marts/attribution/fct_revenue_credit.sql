with

credit as (
    select * from {{ ref('int_attribution__booking_credit') }}
),

bookings as (
    select * from {{ ref('int_attribution__bookings') }}
),

revenue as (
    select revenue_key, opportunity_key, account_key, event_type from {{ ref('fct_revenue') }}
),

touches as (
    select * from {{ ref('int_touch__resolved') }}
)

select
    {{ surrogate_key(['credit.revenue_key', 'credit.model', 'credit.touch_key']) }} as revenue_credit_key,
    cast(credit.revenue_key as {{ dbt.type_string() }}) as revenue_key,
    cast(revenue.event_type as {{ dbt.type_string() }}) as event_type,
    cast(bookings.booked_date as date) as booked_date,
    cast(revenue.opportunity_key as {{ dbt.type_string() }}) as opportunity_key,
    cast(revenue.account_key as {{ dbt.type_string() }}) as account_key,
    cast(coalesce(bookings.conversion_key, '-1') as {{ dbt.type_string() }}) as conversion_key,
    cast(bookings.is_win_reversed as boolean) as is_win_reversed,
    cast(credit.model as {{ dbt.type_string() }}) as model,
    credit.model = bookings.primary_model as is_primary_model,
    cast(credit.touch_key as {{ dbt.type_string() }}) as touch_key,
    cast(touches.touch_date as date) as touch_date,
    cast(coalesce(touches.channel, 'unattributed') as {{ dbt.type_string() }}) as channel,
    cast(coalesce(touches.campaign_key, '-1') as {{ dbt.type_string() }}) as campaign_key,
    credit.unattributed_reason is null as is_attributed,
    cast(credit.unattributed_reason as {{ dbt.type_string() }}) as unattributed_reason,
    cast(credit.weight_micro as bigint) as weight_micro,
    {{ from_cents('credit.credited_cents') }} as credited_amount_rc,
    cast({{ sql_text(var('reporting_currency')) }} as {{ dbt.type_string() }}) as reporting_currency
from credit
inner join bookings on credit.revenue_key = bookings.revenue_key
inner join revenue on credit.revenue_key = revenue.revenue_key
left join touches on credit.touch_key = touches.touch_key

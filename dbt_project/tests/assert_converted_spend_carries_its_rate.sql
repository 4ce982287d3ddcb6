-- The rate is 1 for the reporting currency and for nothing by default; no rate is older than agreed.
select spend_key, currency, fx_rate, fx_date, spend_date
from {{ ref('fct_ad_spend') }}
where fx_rate is null
    or (currency = reporting_currency and (fx_rate <> 1 or spend_amount <> spend_amount_rc))
    or fx_date > spend_date
    or {{ dbt.datediff('fx_date', 'spend_date', 'day') }} > {{ var('fx_carry_days') }}
    or is_fx_carried <> (fx_date < spend_date)

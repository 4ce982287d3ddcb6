with

quarantined as (
    select
        source_system, stream, contract, reject_reason as reason, reject_column as column_name, amount, currency, _known_at as known_at
    from {{ ref('int_quality__quarantined') }}
),

unconverted as (
    select
        source_system, stream, contract, reason, case when reason = 'missing_fx_rate' then 'currency' else 'booked_at' end as column_name,
        amount, currency, known_at
    from {{ ref('int_fx__unconverted') }}
),

waiting as (
    select * from quarantined
    union all
    select * from unconverted
)

select
    {{ surrogate_key(['source_system', 'stream', 'contract', 'reason', 'currency']) }} as quarantine_key,
    cast(source_system as {{ dbt.type_string() }}) as source_system,
    cast(stream as {{ dbt.type_string() }}) as stream,
    cast(contract as {{ dbt.type_string() }}) as contract,
    cast(reason as {{ dbt.type_string() }}) as reason,
    cast(max(column_name) as {{ dbt.type_string() }}) as column_name,
    cast(currency as {{ dbt.type_string() }}) as currency,
    cast(count(*) as bigint) as quarantined_rows,
    cast(sum(amount) as decimal(38, 6)) as amount,
    cast(min(known_at) as timestamp) as first_known_at
from waiting
group by source_system, stream, contract, reason, currency

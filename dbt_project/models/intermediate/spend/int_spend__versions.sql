{{ config(**by_partition('spend_date', affected='int_spend__affected_dates')) }}

{% set grain = spend_grain() | join(', ') -%}
{%- set optional = optional_measures() -%}

-- Every row of a load adds its measures when the load becomes known and takes them away when a later load covers its cell.
-- What nets to nothing at one moment is no version: an identical delivery leaves no trace.
with

performance as (
    select * from {{ ref('int_conformed__performance_daily') }}
    {{ only_affected_dates() }}
),

cells as (
    select * from {{ ref('int_conformed__cells') }}
    where contract = 'performance_daily'
),

loads as (
    select load_id, load_seq from {{ ref('stg_files__loads') }}
),

known as (
    select
        performance.source_system, performance.stream, performance.ad_account_id, performance.level, performance.campaign_id,
        performance.ad_group_id, performance.ad_id, {{ canonical_channel('performance.channel') }} as channel,
        performance.currency, performance.spend_date, performance.spend_amount,
        {%- for name in optional %}
        performance.{{ name }},
        {%- endfor %}
        performance._load_seq, cells.known_from, cells.known_to, cells.closed_by_load_seq
    from performance
    inner join cells
        on performance._load_id = cells._load_id
        and performance._cell = cells._cell
),

events as (
    select
        {{ grain }}, known_from as known_at, _load_seq as load_seq, 1 as rows_delta, spend_amount
        {%- for name in optional %}, {{ name }}, case when {{ name }} is null then 0 else 1 end as {{ name }}_n{% endfor %}
    from known
    union all
    select
        {{ grain }}, known_to as known_at, closed_by_load_seq as load_seq, -1 as rows_delta, -spend_amount as spend_amount
        {%- for name in optional %}, -{{ name }} as {{ name }}, case when {{ name }} is null then 0 else -1 end as {{ name }}_n{% endfor %}
    from known
    where known_to is not null
),

events_by_load as (
    select
        {{ grain }}, known_at, load_seq,
        sum(rows_delta) as rows_delta,
        sum(spend_amount) as spend_amount
        {%- for name in optional %},
        coalesce(sum({{ name }}), 0) as {{ name }},
        sum({{ name }}_n) as {{ name }}_n
        {%- endfor %}
    from events
    group by {{ grain }}, known_at, load_seq
    having sum(rows_delta) <> 0
        or sum(spend_amount) <> 0
        {%- for name in optional %}
        or coalesce(sum({{ name }}), 0) <> 0
        or sum({{ name }}_n) <> 0
        {%- endfor %}
),

events_by_moment as (
    select
        {{ surrogate_key(spend_grain()) }} as grain_key,
        {{ grain }}, known_at,
        max(load_seq) as load_seq,
        sum(rows_delta) as rows_delta,
        sum(spend_amount) as spend_amount
        {%- for name in optional %},
        sum({{ name }}) as {{ name }},
        sum({{ name }}_n) as {{ name }}_n
        {%- endfor %}
    from events_by_load
    group by {{ grain }}, known_at
    having sum(rows_delta) <> 0
        or sum(spend_amount) <> 0
        {%- for name in optional %}
        or sum({{ name }}) <> 0
        or sum({{ name }}_n) <> 0
        {%- endfor %}
),

states as (
    select
        grain_key, {{ grain }},
        known_at as known_from,
        load_seq,
        lead(known_at) over by_time as known_to,
        sum(rows_delta) over by_time as rows_known,
        sum(spend_amount) over by_time as spend_amount
        {%- for name in optional %},
        sum({{ name }}) over by_time as {{ name }},
        sum({{ name }}_n) over by_time as {{ name }}_n
        {%- endfor %}
    from events_by_moment
    window by_time as (partition by grain_key order by known_at)
)

select
    states.grain_key,
    {%- for name in spend_grain() %}
    states.{{ name }},
    {%- endfor %}
    cast(states.spend_amount as decimal(18, 6)) as spend_amount,
    {%- for name, type in optional.items() %}
    cast(case when states.{{ name }}_n > 0 then states.{{ name }} end as {{ type }}) as {{ name }},
    {%- endfor %}
    states.known_from,
    coalesce(states.known_to, {{ end_of_time() }}) as known_to,
    states.load_seq as _load_seq,
    loads.load_id as _load_id
from states
inner join loads on states.load_seq = loads.load_seq
where states.rows_known > 0

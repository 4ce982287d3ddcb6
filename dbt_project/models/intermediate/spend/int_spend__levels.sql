{{ config(**by_partition('spend_date', affected='int_spend__affected_dates')) }}

{% set ids = ['campaign_id', 'ad_group_id', 'ad_id'] -%}
{%- set day = ['source_system', 'ad_account_id', 'spend_date', 'currency'] -%}
{%- set measures = ['spend_amount'] + optional_measures().keys() | list -%}
{%- set types = {'spend_amount': 'decimal(18, 6)'} -%}
{%- do types.update(optional_measures()) -%}

-- Of an account's day the lowest delivered level is kept. What a level above it holds beyond its parts becomes a residual,
-- so that the rows always sum to the highest level that was delivered.
with

versions as (
    select
        *,
        case level when 'account' then 1 when 'campaign' then 2 when 'ad_group' then 3 when 'ad' then 4 else 5 end as depth
    from {{ ref('int_spend__versions') }}
    {{ only_affected_dates() }}
),

days_with_several_levels as (
    select {{ day | join(', ') }}
    from versions
    group by {{ day | join(', ') }}
    having min(depth) < max(depth)
),

one_level as (
    select versions.*
    from versions
    left join days_with_several_levels as several on {{ same('versions', 'several', day) }}
    where several.source_system is null
),

several_levels as (
    select versions.*
    from versions
    inner join days_with_several_levels as several on {{ same('versions', 'several', day) }}
),

moments as (
    select {{ day | join(', ') }}, known_from as moment from several_levels
    union
    select {{ day | join(', ') }}, known_to as moment from several_levels
),

spans as (
    select
        {{ day | join(', ') }}, moment,
        lead(moment) over (partition by {{ day | join(', ') }} order by moment) as next_moment
    from moments
),

live as (
    select
        several_levels.*,
        spans.moment,
        spans.next_moment,
        max(several_levels.depth) over (
            partition by several_levels.source_system, several_levels.ad_account_id, several_levels.spend_date,
                several_levels.currency, spans.moment
        ) as lowest_depth
    from several_levels
    inner join spans
        on {{ same('several_levels', 'spans', day) }}
        and several_levels.known_from <= spans.moment
        and several_levels.known_to > spans.moment
),

parents as (
    select
        child.grain_key as child_key,
        child.moment,
        parent.grain_key as parent_key,
        row_number() over (
            partition by child.grain_key, child.moment
            order by
                parent.depth desc,
                (case when parent.channel is not distinct from child.channel then 0 else 1 end) asc,
                parent.grain_key asc
        ) as nth
    from live as child
    inner join live as parent
        on {{ same('child', 'parent', day) }}
        and child.moment = parent.moment
        and child.depth > parent.depth
        and (parent.depth < 2 or child.campaign_id is not distinct from parent.campaign_id)
        and (parent.depth < 3 or child.ad_group_id is not distinct from parent.ad_group_id)
        and (parent.depth < 4 or child.ad_id is not distinct from parent.ad_id)
),

parts as (
    select
        parents.parent_key,
        parents.moment,
        max(live._load_seq) as _load_seq,
        {%- for name in measures %}
        coalesce(sum(live.{{ name }}), 0) as {{ name }}{{ ',' if not loop.last }}
        {%- endfor %}
    from parents
    inner join live
        on parents.child_key = live.grain_key
        and parents.moment = live.moment
    where parents.nth = 1
    group by parents.parent_key, parents.moment
),

split as (
    select
        case
            when live.depth = live.lowest_depth then live.grain_key
            else {{ surrogate_key(["'residual'", 'live.grain_key']) }}
        end as grain_key,
        case when live.depth = live.lowest_depth then live.level else 'residual' end as level,
        live.level as delivered_level,
        {%- for name in spend_grain() if name != 'level' %}
        live.{{ name }},
        {%- endfor %}
        {%- for name in measures %}
        cast(live.{{ name }} - coalesce(parts.{{ name }}, 0) as {{ types[name] }}) as {{ name }},
        {%- endfor %}
        cast(coalesce(parts.spend_amount, 0) as decimal(18, 6)) as spend_amount_of_parts,
        live.moment,
        live.next_moment,
        greatest(live._load_seq, coalesce(parts._load_seq, live._load_seq)) as _load_seq
    from live
    left join parts
        on live.grain_key = parts.parent_key
        and live.moment = parts.moment
),

described as (
    select
        *,
        {{ joined_text(measures + ['spend_amount_of_parts']) }} as content
    from split
),

marked as (
    select
        *,
        case
            when content = lag(content) over by_time and moment = lag(next_moment) over by_time then 0
            else 1
        end as is_change
    from described
    window by_time as (partition by grain_key order by moment)
),

numbered as (
    select
        *,
        sum(is_change) over (partition by grain_key order by moment rows unbounded preceding) as nth_version
    from marked
),

merged as (
    select
        grain_key, level, delivered_level,
        {%- for name in spend_grain() if name != 'level' %}
        {{ name }},
        {%- endfor %}
        {%- for name in measures %}
        {{ name }},
        {%- endfor %}
        spend_amount_of_parts,
        min(moment) as known_from,
        max(next_moment) as known_to,
        min(_load_seq) as _load_seq
    from numbered
    group by
        grain_key, level, delivered_level,
        {%- for name in spend_grain() if name != 'level' %}
        {{ name }},
        {%- endfor %}
        {%- for name in measures %}
        {{ name }},
        {%- endfor %}
        spend_amount_of_parts, nth_version
),

loads as (
    select load_id, load_seq from {{ ref('stg_files__loads') }}
)

select
    one_level.grain_key,
    {%- for name in spend_grain() %}
    one_level.{{ name }},
    {%- endfor %}
    one_level.level as delivered_level,
    {%- for name in measures %}
    one_level.{{ name }},
    {%- endfor %}
    cast(0 as decimal(18, 6)) as spend_amount_of_parts,
    one_level.known_from,
    one_level.known_to,
    one_level._load_id
from one_level

union all

select
    merged.grain_key,
    {%- for name in spend_grain() %}
    merged.{{ name }},
    {%- endfor %}
    merged.delivered_level,
    {%- for name in measures %}
    merged.{{ name }},
    {%- endfor %}
    merged.spend_amount_of_parts,
    merged.known_from,
    merged.known_to,
    loads.load_id as _load_id
from merged
inner join loads on merged._load_seq = loads.load_seq

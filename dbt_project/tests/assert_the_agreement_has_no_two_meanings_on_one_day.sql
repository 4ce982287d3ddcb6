-- Versions of a step, and of the meaning of a value, follow each other without overlap; a value means a step or an outcome.
with

versions as (
    select 'funnel_steps' as seed, step as thing, valid_from, valid_to, false as is_ambiguous
    from {{ ref('funnel_steps') }}

    union all

    select
        'stage_map' as seed, object || ' ' || source_value as thing, valid_from, valid_to,
        step is not null and outcome is not null as is_ambiguous
    from {{ ref('stage_map') }}
),

followed as (
    select *, lead(valid_from) over (partition by seed, thing order by valid_from) as next_valid_from
    from versions
)

select *
from followed
where is_ambiguous
    or valid_from >= valid_to
    or next_valid_from < valid_to

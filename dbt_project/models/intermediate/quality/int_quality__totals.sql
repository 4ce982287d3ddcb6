-- What each source said last of itself.
with

totals as (
    select * from {{ ref('stg_files__totals') }}
),

loads as (
    select load_id, load_seq, known_at from {{ ref('int_quality__loads') }}
),

ranked as (
    select
        totals.*,
        loads.known_at,
        row_number() over (
            partition by totals.source_system, totals.stream, totals.part, totals.day, totals.measure
            order by loads.load_seq desc
        ) as nth
    from totals
    inner join loads on totals._load_id = loads.load_id
)

select source_system, stream, part, day, measure, said_value, row_unit, known_at, _load_id
from ranked
where nth = 1

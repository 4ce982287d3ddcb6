-- Control totals of the content that counts now: taken by another reader than the one that fills the warehouse.
with

covers as (
    select * from {{ ref('int_conformed__performance_daily__covers') }}
),

cells as (
    select * from {{ ref('int_conformed__performance_daily__cells') }}
),

deduplicated as (
    select * from {{ ref('int_quality__deduplicated') }}
    where contract = 'performance_daily'
        and not is_covered_again
),

control as (
    select
        cells.source_system,
        cells.stream,
        sum(covers.control_spend_amount) as control_amount,
        sum(covers.control_rows) as control_rows
    from cells
    inner join covers
        on cells._load_id = covers._load_id
        and cells._cell = covers._cell
        and cells._file_seq = covers._file_seq
    where cells.is_current
    group by cells.source_system, cells.stream
),

repeated as (
    select
        cells.source_system,
        cells.stream,
        sum(deduplicated.amount) as deduplicated_amount
    from cells
    inner join deduplicated
        on cells._load_id = deduplicated._load_id
        and cells._cell = deduplicated._cell
    where cells.is_current
    group by cells.source_system, cells.stream
)

select
    control.source_system,
    control.stream,
    cast(control.control_amount as decimal(38, 9)) as control_amount,
    cast(control.control_rows as bigint) as control_rows,
    cast(coalesce(repeated.deduplicated_amount, 0) as decimal(38, 9)) as deduplicated_amount
from control
left join repeated
    on control.source_system = repeated.source_system
    and control.stream = repeated.stream

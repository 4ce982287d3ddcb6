-- Control totals of the content that counts now: taken by another reader than the one that fills the warehouse.
with

covers as (
    select * from {{ ref('int_conformed__covers') }}
    where contract in ('{{ reconciled_measures().keys() | join("', '") }}')
),

cells as (
    select * from {{ ref('int_conformed__cells') }}
    where contract in ('{{ reconciled_measures().keys() | join("', '") }}')
),

summed as (
    select
        cells.contract,
        cells.source_system,
        cells.stream,
        covers.control_currency as currency,
        sum(covers.control_amount) as control_amount,
        sum(covers.control_rows) as control_rows
    from cells
    inner join covers
        on cells.contract = covers.contract
        and cells._load_id = covers._load_id
        and cells._cell = covers._cell
        and cells._file_seq = covers._file_seq
    where cells.is_current
    group by cells.contract, cells.source_system, cells.stream, covers.control_currency
),

counted as (
    select
        *,
        sum(control_rows) over (partition by contract, source_system, stream) as rows_of_stream
    from summed
)

select
    contract,
    source_system,
    stream,
    currency,
    cast(control_amount as decimal(38, 9)) as control_amount,
    cast(control_rows as bigint) as control_rows
from counted
-- a cell that was emptied has no currency, which is no line of its own; a stream of which nothing is left keeps its line
where control_rows > 0
    or rows_of_stream = 0

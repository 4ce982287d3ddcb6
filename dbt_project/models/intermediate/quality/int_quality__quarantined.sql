-- Rejected rows that still wait: their cell has not been delivered again.
with

rejected as (
    select * from {{ ref('int_quality__rejected') }}
),

current_cells as (
    select contract, _load_id, _cell from {{ ref('int_conformed__cells') }}
    where is_current
)

select
    rejected.contract,
    rejected.source_system,
    rejected.stream,
    rejected.reject_reason,
    rejected.reject_column,
    rejected.amount,
    rejected.currency,
    rejected._load_id,
    rejected._known_at
from rejected
inner join current_cells
    on rejected.contract = current_cells.contract
    and rejected._load_id = current_cells._load_id
    and rejected._cell = current_cells._cell

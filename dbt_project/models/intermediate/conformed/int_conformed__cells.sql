-- When the content that a load gave a cell was known: from the load's own time until the time of the next load that covers
-- the cell. The last content of a cell has no end.
with

covers as (
    select * from {{ ref('int_conformed__covers') }}
),

per_load as (
    select
        contract, source_system, stream, _cell, _load_id, _load_seq, _known_at,
        max(_file_seq) as _file_seq
    from covers
    group by contract, source_system, stream, _cell, _load_id, _load_seq, _known_at
)

select
    contract,
    source_system,
    stream,
    _cell,
    _load_id,
    _load_seq,
    _file_seq,
    _known_at as known_from,
    lead(_known_at) over (partition by contract, _cell order by _load_seq) as known_to,
    lead(_load_seq) over (partition by contract, _cell order by _load_seq) as closed_by_load_seq,
    lead(_load_seq) over (partition by contract, _cell order by _load_seq) is null as is_current
from per_load

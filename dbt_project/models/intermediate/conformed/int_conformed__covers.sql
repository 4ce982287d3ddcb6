{{ config(materialized='view', tags=['same_in_every_run']) }}

select
    contract,
    source_system,
    stream,
    _load_id,
    _load_seq,
    _known_at,
    _file_seq,
    _file,
    _cell,
    control_currency,
    control_rows,
    control_amount
from {{ ref('stg_files__covers') }}

select
    _load_id,
    cast(sum(rows_read) as bigint) as rows_read,
    cast(sum(rows_rejected) as bigint) as rows_rejected
from {{ ref('stg_files__landed') }}
group by _load_id

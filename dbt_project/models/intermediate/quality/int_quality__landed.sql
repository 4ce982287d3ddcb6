{{ config(**by_partition('_load_id')) }}

with

landed as (
    select * from {{ ref('stg_files__landed') }}
    {{ only_new_loads() }}
)

select
    _load_id,
    count(*) filter (where outcome = 'read') as rows_read,
    count(*) filter (where outcome = 'rejected') as rows_rejected
from landed
group by _load_id

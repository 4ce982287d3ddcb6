-- The accepted loads of this build with the count that the extracting step wrote down, where the ledger has it.
with

loads as (
    select * from {{ ref('stg_files__loads') }}
),

ledger as (
    select load_id, max(rows_extracted) as rows_extracted from {{ ref('stg_ledger__loads') }}
    group by load_id
)

select
    loads.load_id,
    loads.load_seq,
    loads.source_system,
    loads.stream,
    loads.contract,
    loads.known_at,
    loads.is_new,
    loads.is_required,
    ledger.rows_extracted as rows_extracted_in_ledger
from loads
left join ledger on loads.load_id = ledger.load_id

-- The version that readers see while this one is built, with the moment that it speaks of; no row before the first.
with

versions as (
    select * from {{ ref('stg_ledger__versions') }}
    where state = 'current'
        and run_id <> {{ text_var('run_id') }}
),

runs as (
    select * from {{ ref('stg_ledger__runs') }}
)

select
    versions.run_id,
    runs.as_of
from versions
inner join runs on versions.run_id = runs.run_id

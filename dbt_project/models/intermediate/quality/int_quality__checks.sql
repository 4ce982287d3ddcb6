-- The last judgement of each check in each run; a step that is run again judges again.
with

checks as (
    select * from {{ ref('stg_ledger__checks') }}
),

runs as (
    select * from {{ ref('stg_ledger__runs') }}
),

latest as (
    select
        *,
        row_number() over (partition by run_id, gate, check_id, subject order by checked_at desc nulls last, state asc) as nth
    from checks
)

select
    latest.run_id,
    runs.as_of,
    latest.gate,
    latest.check_id,
    latest.subject,
    latest.severity,
    latest.owner,
    latest.state,
    latest.observed,
    latest.because,
    latest.checked_at
from latest
left join runs on latest.run_id = runs.run_id
where latest.nth = 1

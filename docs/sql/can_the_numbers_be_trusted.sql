-- Question: Can these numbers be trusted today?
-- Asked by: everybody, before the meeting
-- Grain: one row per source
-- How to read it: state says whether the source delivers in its declared rhythm. held_back_rows and quarantined_rows are rows
--   that are in no report yet; unreconciled_lines must be 0: it counts the totals of a second, independent reader that
--   differ from the reports.
-- Unit: rows; days
-- Ratios: none
-- Pitfalls: Amounts of several currencies cannot be added, so money that is held back stands per currency in
--   metadata.quarantine_summary and metadata.reconciliation. Sources of lists alone are about no day and are never late.
with sources as (
    select
        source_system,
        max(owner) as owner,
        max(source_max_date) as last_day,
        min(fresh_within_days) as fresh_within_days,
        min(stale_since) as stale_since,
        max(case when is_never_delivered then 1 else 0 end) as is_never_delivered,
        max(last_known_at) as last_known_at
    from metadata.dq_status
    group by source_system
),

waiting as (
    select
        source_system,
        sum(quarantined_rows) as quarantined_rows,
        sum(case when reason = 'missing_fx_rate' then quarantined_rows else 0 end) as held_back_rows
    from metadata.quarantine_summary
    group by source_system
),

reconciled as (
    select source_system, count(*) as reconciled_lines, sum(case when difference <> 0 then 1 else 0 end) as unreconciled_lines
    from metadata.reconciliation
    group by source_system
)

select
    sources.source_system,
    sources.owner,
    case
        when sources.is_never_delivered = 1 then 'never delivered'
        when sources.stale_since is not null then 'late'
        else 'up to date'
    end as state,
    sources.last_day,
    sources.fresh_within_days,
    sources.stale_since,
    coalesce(waiting.quarantined_rows, 0) as quarantined_rows,
    coalesce(waiting.held_back_rows, 0) as held_back_rows,
    coalesce(reconciled.reconciled_lines, 0) as reconciled_lines,
    coalesce(reconciled.unreconciled_lines, 0) as unreconciled_lines,
    sources.last_known_at,
    run.as_of
from sources
left join waiting on sources.source_system = waiting.source_system
left join reconciled on sources.source_system = reconciled.source_system
cross join metadata.run_info as run
order by sources.source_system nulls last

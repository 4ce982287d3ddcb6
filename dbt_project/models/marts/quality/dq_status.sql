{% set feeds = {
    'fct_ad_spend': ['performance_daily', 'fx_rates', 'ad_accounts', 'campaigns'],
    'dim_campaign': ['campaigns', 'performance_daily'],
    'dim_account': ['accounts', 'users', 'territories'],
    'dim_account_history': ['accounts', 'users', 'territories'],
    'dim_crm_campaign': ['crm_campaigns', 'campaigns', 'users'],
    'dim_rep': ['users', 'territory_assignments', 'territories'],
    'dim_rep_history': ['users', 'territory_assignments', 'territories'],
    'dim_territory': ['territories', 'users'],
    'dim_product': ['products'],
    'fct_opportunity': [
        'opportunities', 'opportunity_changes', 'opportunity_contacts', 'leads', 'contacts', 'accounts', 'users', 'territory_assignments',
        'fx_rates',
    ],
    'fct_revenue': [
        'revenue_events', 'opportunities', 'opportunity_changes', 'accounts', 'products', 'users', 'territory_assignments', 'fx_rates',
    ],
    'fct_revenue_share': ['revenue_events', 'opportunity_splits', 'opportunities', 'opportunity_changes', 'users', 'fx_rates'],
    'fct_restatement': ['performance_daily', 'revenue_events', 'fx_rates'],
    'fct_plan': ['plan_values', 'budgets', 'users', 'territories', 'fx_rates'],
    'fct_plan_daily': ['plan_values', 'budgets', 'users', 'territory_assignments', 'holidays', 'working_hours', 'fx_rates'],
    'rpt_plan': [
        'plan_values', 'revenue_events', 'opportunity_splits', 'opportunities', 'opportunity_changes', 'users', 'territory_assignments',
        'holidays', 'working_hours', 'fx_rates',
    ],
    'dim_person': ['leads', 'contacts', 'accounts'],
    'fct_journey': ['leads', 'lead_changes', 'opportunities', 'opportunity_changes', 'contacts', 'accounts', 'users'],
    'fct_funnel_step': [
        'leads', 'lead_changes', 'opportunities', 'opportunity_changes', 'contacts', 'accounts', 'users', 'activities', 'holidays',
        'working_hours',
    ],
    'rpt_funnel': ['leads', 'lead_changes', 'opportunities', 'opportunity_changes', 'contacts'],
    'rpt_funnel_activity': [
        'leads', 'lead_changes', 'opportunities', 'opportunity_changes', 'contacts', 'activities', 'holidays', 'working_hours',
    ],
    'fct_touch': ['web_touches', 'email_touches', 'event_touches', 'campaign_members', 'crm_campaigns', 'leads', 'contacts', 'accounts', 'campaigns', 'performance_daily'],
    'fct_credit': [
        'web_touches', 'email_touches', 'event_touches', 'leads', 'contacts', 'accounts', 'opportunities', 'opportunity_changes',
        'revenue_events', 'fx_rates', 'campaigns', 'performance_daily',
    ],
    'fct_revenue_credit': [
        'web_touches', 'email_touches', 'event_touches', 'leads', 'contacts', 'accounts', 'opportunities', 'opportunity_changes',
        'revenue_events', 'fx_rates', 'campaigns', 'performance_daily',
    ],
    'rpt_unit_economics': [
        'performance_daily', 'fx_rates', 'campaigns', 'web_touches', 'email_touches', 'event_touches', 'leads', 'contacts', 'accounts',
        'opportunities', 'opportunity_changes', 'revenue_events',
    ],
} -%}

with

sources as (
    select * from {{ ref('int_quality__sources') }}
),

loads as (
    select * from {{ ref('int_quality__loads') }}
),

feeds as (
    {% for mart, contracts in feeds.items() -%}
    {%- set last_mart = loop.last -%}
    {%- for contract in contracts %}
    select '{{ mart }}' as mart, '{{ contract }}' as contract {{ 'union all' if not (last_mart and loop.last) }}
    {%- endfor %}
    {% endfor %}
),

marts as (
    select distinct mart from feeds
),

delivered as (
    select feeds.mart, loads.source_system, max(loads.known_at) as last_known_at
    from loads
    inner join feeds on loads.contract = feeds.contract
    group by feeds.mart, loads.source_system
),

delivering as (
    select distinct source_system from loads
),

-- a declared source that never delivered could feed any mart: each of them says so
fed as (
    select marts.mart, sources.source_system, sources.owner, sources.is_required, sources.final_after_days, delivered.last_known_at
    from marts
    cross join sources
    left join delivered
        on marts.mart = delivered.mart
        and sources.source_system = delivered.source_system
    left join delivering on sources.source_system = delivering.source_system
    where delivered.source_system is not null
        or delivering.source_system is null
),

-- of several streams of a source, the one that is late, or will be late first, speaks for it
fresh as (
    select
        source_system,
        max(last_day) as source_max_date,
        max(case when contract = 'performance_daily' then last_day end) as spend_max_date,
        min_by(fresh_within_days, late_since) as fresh_within_days,
        min(stale_since) as stale_since
    from {{ ref('int_quality__freshness') }}
    group by source_system
),

-- rows, not money: what waits is in several currencies
waiting as (
    select
        feeds.mart,
        quarantine.source_system,
        sum(quarantine.quarantined_rows) as quarantined_rows,
        sum(case when quarantine.reason = 'missing_fx_rate' then quarantine.quarantined_rows end) as held_rows
    from {{ ref('quarantine_summary') }} as quarantine
    inner join feeds on quarantine.contract = feeds.contract
    group by feeds.mart, quarantine.source_system
),

differences as (
    select source_system, count(*) as differences from {{ ref('reconciliation') }}
    where difference <> 0
    group by source_system
),

last_judged as (
    select
        run_id,
        max(checked_at) as judged_at,
        row_number() over (order by max(checked_at) desc, run_id desc) as nth
    from {{ ref('int_quality__checks') }}
    where gate = 'marts'
    group by run_id
),

verdicts as (
    select
        checks.subject as mart,
        last_judged.run_id as judged_run_id,
        last_judged.judged_at,
        count(*) filter (where checks.state = 'passed') as checks_passed,
        count(*) filter (where checks.state = 'warned') as checks_warned,
        count(*) filter (where checks.state in ('failed', 'error')) as checks_failed
    from {{ ref('int_quality__checks') }} as checks
    inner join last_judged
        on checks.run_id = last_judged.run_id
        and last_judged.nth = 1
    where checks.gate = 'marts'
    group by checks.subject, last_judged.run_id, last_judged.judged_at
)

select
    {{ surrogate_key(['fed.mart', 'fed.source_system']) }} as dq_status_key,
    cast(fed.mart as {{ dbt.type_string() }}) as mart,
    cast(fed.source_system as {{ dbt.type_string() }}) as source_system,
    cast(fed.owner as {{ dbt.type_string() }}) as owner,
    cast(fed.is_required as boolean) as is_required,
    cast(fresh.source_max_date as date) as source_max_date,
    cast(
        case when fresh.spend_max_date is not null then {{ dbt.dateadd('day', '-fed.final_after_days - 1', 'cast(' ~ as_of() ~ ' as date)') }} end
        as date
    ) as is_final_until,
    cast(fed.last_known_at as timestamp) as last_known_at,
    cast(fresh.fresh_within_days as integer) as fresh_within_days,
    cast(fresh.stale_since as date) as stale_since,
    fed.last_known_at is null as is_never_delivered,
    cast(coalesce(waiting.quarantined_rows, 0) as bigint) as quarantined_rows,
    cast(coalesce(waiting.held_rows, 0) as bigint) as held_rows,
    cast(coalesce(differences.differences, 0) as bigint) as differences,
    cast(verdicts.judged_run_id as {{ dbt.type_string() }}) as judged_run_id,
    cast(verdicts.judged_at as timestamp) as judged_at,
    cast(coalesce(verdicts.checks_passed, 0) as bigint) as checks_passed,
    cast(coalesce(verdicts.checks_warned, 0) as bigint) as checks_warned,
    cast(coalesce(verdicts.checks_failed, 0) as bigint) as checks_failed
from fed
left join fresh on fed.source_system = fresh.source_system
left join waiting
    on fed.mart = waiting.mart
    and fed.source_system = waiting.source_system
left join differences on fed.source_system = differences.source_system
left join verdicts on fed.mart = verdicts.mart

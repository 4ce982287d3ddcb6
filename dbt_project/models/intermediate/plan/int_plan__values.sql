-- Plans and media budgets in one shape. A plan is worth the rate of the day from which it counts, so that a plan of a closed
-- period does not move with the market; what counts from a later day is worth today's.
with

plan_values as (
    {{ one_record_each('plan_values') }}
),

budgets as (
    {{ one_record_each('budgets') }}
),

unified as (
    select
        source_system, stream, 'plan_values' as contract, metric, owner_type, owner_id, period_start, period_end, scenario, version,
        valid_as_of, value_amount as plan_value, currency, approved_by, _known_at as known_at, _load_id
    from plan_values

    union all

    -- a budget has no versions of its own: what is delivered last counts from its period, or from when it became known
    select
        source_system, stream, 'budgets' as contract, 'spend' as metric,
        case when campaign_id is null then 'ad_account' else 'campaign' end as owner_type,
        ad_account_id || coalesce('/' || campaign_id, '') as owner_id, period_start, period_end, 'budget' as scenario, '1' as version,
        least(period_start, cast(_known_at as date)) as valid_as_of, budget_amount as plan_value, currency,
        cast(null as {{ dbt.type_string() }}) as approved_by, _known_at as known_at, _load_id
    from budgets
),

reps as (
    select * from {{ ref('int_company__reps') }}
),

territories as (
    select * from {{ ref('int_company__territories') }}
),

owned as (
    select
        *,
        case when owner_type = 'rep' then owner_id end as rep_owner_id,
        case when owner_type = 'territory' then owner_id end as territory_owner_id
    from unified
),

with_rep as (
    {{ with_key('owned', 'rep_owner_id', 'reps', 'user_id', 'rep_key', 'rep_key') }}
),

with_territory as (
    {{ with_key('with_rep', 'territory_owner_id', 'territories', 'territory_id', 'territory_key', 'territory_key') }}
),

ranked as (
    select
        *,
        valid_as_of <= cast({{ as_of() }} as date) as is_known,
        row_number() over (
            partition by source_system, contract, metric, owner_type, owner_id, period_start, period_end, scenario,
                valid_as_of <= cast({{ as_of() }} as date)
            -- `10` comes after `9`
            order by valid_as_of desc, length(version) desc, version desc
        ) as nth
    from with_territory
)

select
    {{ surrogate_key([
        'source_system', 'contract', 'metric', 'owner_type', 'owner_id', 'period_start', 'scenario', 'version',
    ]) }} as plan_key,
    source_system,
    stream,
    contract,
    metric,
    owner_type,
    owner_id,
    rep_key,
    territory_key,
    period_start,
    period_end,
    scenario,
    version,
    valid_as_of,
    is_known and nth = 1 as is_current_version,
    plan_value,
    currency,
    least(valid_as_of, cast({{ as_of() }} as date)) as fx_day,
    approved_by,
    known_at,
    _load_id
from ranked

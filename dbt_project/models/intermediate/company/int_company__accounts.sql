with

accounts as (
    {{ one_record_each('accounts') }}
),

survivors as (
    {{ survivors('accounts', 'account_id') }}
),

merged as (
    select
        accounts.*,
        survivors.survivor_id
    from accounts
    inner join survivors
        on accounts.source_system = survivors.source_system
        and accounts.account_id = survivors.id
),

-- what a merged account belonged to, its survivor belongs to only if that says so itself
surviving as (
    select
        merged.source_system,
        merged.account_id,
        nullif(parents.survivor_id, merged.account_id) as parent_id
    from merged
    left join survivors as parents
        on merged.source_system = parents.source_system
        and merged.parent_account_id = parents.id
    where merged.account_id = merged.survivor_id
),

families as (
    {{ followed('surviving', 'account_id', 'parent_id') }}
)

select
    {{ surrogate_key(['merged.source_system', 'merged.account_id']) }} as account_key,
    {{ surrogate_key(['merged.source_system', 'merged.survivor_id']) }} as survivor_account_key,
    case
        when surviving.parent_id is not null then {{ surrogate_key(['merged.source_system', 'surviving.parent_id']) }}
    end as parent_account_key,
    {{ surrogate_key(['merged.source_system', 'families.end_id']) }} as ultimate_parent_account_key,
    merged.source_system,
    merged.account_id,
    merged.survivor_id <> merged.account_id as is_merged,
    merged.account_name,
    merged.domain,
    merged.segment,
    merged.industry,
    merged.country,
    merged.region,
    merged.territory_id,
    merged.owner_id,
    coalesce(merged.is_target, false) as is_target,
    coalesce(merged.is_deleted, false) as is_deleted,
    merged.created_at,
    merged._load_id
from merged
inner join surviving
    on merged.source_system = surviving.source_system
    and merged.survivor_id = surviving.account_id
inner join families
    on merged.source_system = families.source_system
    and merged.survivor_id = families.id

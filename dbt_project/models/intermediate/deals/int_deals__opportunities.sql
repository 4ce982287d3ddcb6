with

opportunities as (
    {{ one_record_each('opportunities') }}
),

survivors as (
    {{ survivors('opportunities', 'opportunity_id') }}
),

accounts as (
    select * from {{ ref('int_company__accounts') }}
),

reps as (
    select * from {{ ref('int_company__reps') }}
),

with_account as (
    {{ with_key('opportunities', 'account_id', 'accounts', 'account_id', 'survivor_account_key', 'account_key') }}
),

with_owner as (
    {{ with_key('with_account', 'owner_id', 'reps', 'user_id', 'rep_key', 'owner_rep_key') }}
),

with_creator as (
    {{ with_key('with_owner', 'created_by_id', 'reps', 'user_id', 'rep_key', 'created_by_rep_key') }}
)

select
    {{ surrogate_key(['with_creator.source_system', 'with_creator.opportunity_id']) }} as opportunity_key,
    {{ surrogate_key(['with_creator.source_system', 'survivors.survivor_id']) }} as survivor_opportunity_key,
    survivors.survivor_id <> with_creator.opportunity_id as is_merged,
    with_creator.*
from with_creator
inner join survivors
    on with_creator.source_system = survivors.source_system
    and with_creator.opportunity_id = survivors.id

-- Who shares in an opportunity. Where nobody was named, nobody is here: what is booked for it is its owner's.
with

splits as (
    {{ one_record_each('opportunity_splits') }}
),

opportunities as (
    select * from {{ ref('int_deals__opportunities') }}
),

reps as (
    select * from {{ ref('int_company__reps') }}
),

with_rep as (
    {{ with_key('splits', 'user_id', 'reps', 'user_id', 'rep_key', 'rep_key') }}
),

with_opportunity as (
    {{ with_key('with_rep', 'opportunity_id', 'opportunities', 'opportunity_id', 'opportunity_key', 'opportunity_key') }}
)

select
    opportunity_key,
    opportunity_id,
    rep_key,
    user_id,
    split_type,
    split_percent
from with_opportunity
where not coalesce(is_deleted, false)
    and split_percent <> 0

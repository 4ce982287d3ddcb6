-- Booking events with the original of each reversal: owner, territory and shares are those of the booking that is taken back.
with

events as (
    {{ one_record_each('revenue_events') }}
),

opportunities as (
    select * from {{ ref('int_deals__opportunities') }}
),

accounts as (
    select * from {{ ref('int_company__accounts') }}
),

products as (
    select * from {{ ref('int_company__products') }}
),

with_original as (
    {{ followed('events', 'event_id', "case when event_type = 'reversal' then reverses_event_id end") }}
),

with_account as (
    {{ with_key('events', 'account_id', 'accounts', 'account_id', 'survivor_account_key', 'account_key') }}
),

with_product as (
    {{ with_key('with_account', 'product_id', 'products', 'product_id', 'product_key', 'product_key') }}
),

with_opportunity as (
    {{ with_key('with_product', 'opportunity_id', 'opportunities', 'opportunity_id', 'opportunity_key', 'opportunity_key') }}
)

select
    {{ surrogate_key(['events.source_system', 'events.event_id']) }} as revenue_key,
    events.source_system,
    events.stream,
    events.event_id,
    events.event_type,
    events.reverses_event_id,
    case
        when originals.event_id <> events.event_id then {{ surrogate_key(['originals.source_system', 'originals.event_id']) }}
    end as original_revenue_key,
    originals.event_type as original_event_type,
    originals.booked_at as original_booked_at,
    events.booked_at,
    cast(events.booked_at as date) as booked_date,
    events.opportunity_key,
    originals.opportunity_key as placed_opportunity_key,
    events.account_key,
    events.product_key,
    events.amount,
    events.currency,
    events.list_amount,
    events.cost_amount,
    events.recurring_amount,
    events.starts_on,
    events.ends_on,
    events._known_at,
    events._load_id
from with_opportunity as events
inner join with_original
    on events.source_system = with_original.source_system
    and events.event_id = with_original.id
inner join with_opportunity as originals
    on with_original.source_system = originals.source_system
    and with_original.end_id = originals.event_id

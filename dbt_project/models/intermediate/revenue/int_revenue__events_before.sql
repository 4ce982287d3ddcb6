-- Booking events as the readers of the version before saw them: what was known of each at the moment that it speaks of.
with

version_before as (
    select * from {{ ref('int_quality__version_before') }}
),

cells as (
    select * from {{ ref('int_conformed__cells') }}
    where contract = 'revenue_events'
),

known as (
    select records.*
    from {{ ref('int_conformed__revenue_events') }} as records
    inner join cells
        on records._load_id = cells._load_id
        and records._cell = cells._cell
    inner join version_before
        on cells.known_from <= version_before.as_of
        and (cells.known_to is null or cells.known_to > version_before.as_of)
),

-- where cells overlap, the last delivered one
ranked as (
    select
        *,
        row_number() over (partition by source_system, event_id order by _load_seq desc, _file_seq desc, _line desc) as nth_of_event
    from known
),

events as (
    select * from ranked
    where nth_of_event = 1
),

with_original as (
    {{ followed('events', 'event_id', "case when event_type = 'reversal' then reverses_event_id end") }}
)

select
    {{ surrogate_key(['events.source_system', 'events.event_id']) }} as revenue_key,
    events.source_system,
    originals.event_type as original_event_type,
    events.booked_at,
    cast(events.booked_at as date) as booked_date,
    events.amount,
    events.currency
from events
inner join with_original
    on events.source_system = with_original.source_system
    and events.event_id = with_original.id
inner join events as originals
    on with_original.source_system = originals.source_system
    and with_original.end_id = originals.event_id

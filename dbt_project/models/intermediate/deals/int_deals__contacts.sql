-- People in an opportunity; a merged contact and its survivor are one person.
with

roles as (
    {{ one_record_each('opportunity_contacts') }}
),

survivors as (
    {{ survivors('contacts', 'contact_id') }}
),

opportunities as (
    select * from {{ ref('int_deals__opportunities') }}
),

present as (
    select
        roles.source_system, roles.opportunity_id, lower(trim(roles.role)) as role,
        coalesce(survivors.survivor_id, roles.contact_id) as contact_id
    from roles
    left join survivors
        on roles.source_system = survivors.source_system
        and roles.contact_id = survivors.id
    where not coalesce(roles.is_deleted, false)
)

select
    opportunities.opportunity_key,
    count(distinct present.contact_id) as contacts_n,
    max(case when present.role = 'economic buyer' then 1 else 0 end) = 1 as has_economic_buyer
from present
inner join opportunities
    on present.source_system = opportunities.source_system
    and present.opportunity_id = opportunities.opportunity_id
group by opportunities.opportunity_key

with

persons as (
    select * from {{ ref('int_identity__persons') }}
),

leads as (
    {{ one_record_each('leads') }}
),

contacts as (
    {{ one_record_each('contacts') }}
),

described as (
    select
        persons.source_system,
        persons.person_key,
        persons.person_kind,
        persons.person_id,
        persons.account_key,
        persons.record_type,
        persons.record_id,
        persons.is_person_record,
        coalesce(leads.created_at, contacts.created_at) as created_at,
        coalesce(leads.country, contacts.country) as country,
        contacts.role,
        leads.lead_source,
        coalesce(leads.is_test, false) as is_test,
        coalesce(leads.is_deleted, contacts.is_deleted, false) as is_deleted
    from persons
    left join leads
        on persons.record_type = 'lead'
        and persons.source_system = leads.source_system
        and persons.record_id = leads.lead_id
    left join contacts
        on persons.record_type = 'contact'
        and persons.source_system = contacts.source_system
        and persons.record_id = contacts.contact_id
),

ranked as (
    select
        *,
        row_number() over (
            partition by person_key, record_type
            order by case when is_deleted then 2 else 1 end, created_at, record_id
        ) as nth_of_type
    from described
)

select
    person_key,
    max(source_system) as source_system,
    max(person_kind) as person_kind,
    max(person_id) as person_id,
    max(account_key) as account_key,
    max(case when record_type = 'lead' and nth_of_type = 1 then record_id end) as first_lead_id,
    max(case when record_type = 'contact' and is_person_record then record_id end) as contact_id,
    max(case when is_person_record then role end) as role,
    coalesce(
        max(case when is_person_record then country end),
        max(case when record_type = 'lead' and nth_of_type = 1 then country end)
    ) as country,
    max(case when record_type = 'lead' and nth_of_type = 1 then lead_source end) as lead_source,
    min(created_at) as created_at,
    sum(case when record_type = 'lead' then 1 else 0 end) as lead_records,
    sum(case when record_type = 'contact' then 1 else 0 end) as contact_records,
    -- a person is left out only when nothing real speaks of it
    min(case when is_test then 1 else 0 end) = 1 as is_test,
    min(case when is_deleted then 1 else 0 end) = 1 as is_deleted
from ranked
group by person_key

-- Whose touch it was: the record that the touch names, else the one person of its e-mail, else the one person whose forms the
-- same visitor has sent. Who shares an e-mail or a browser with another person is not guessed.
with

touches as (
    select * from {{ ref('int_touch__delivered') }}
),

persons as (
    select * from {{ ref('int_identity__persons') }}
),

leads as (
    {{ current_records('leads') }}
),

contacts as (
    {{ current_records('contacts') }}
),

by_record as (
    select
        record_type,
        record_id,
        min(person_key) as person_key
    from persons
    group by record_type, record_id
    having count(distinct person_key) = 1
),

addresses as (
    select leads.email_token, persons.person_key
    from leads
    inner join persons
        on leads.source_system = persons.source_system
        and persons.record_type = 'lead'
        and leads.lead_id = persons.record_id
    union all
    select contacts.email_token, persons.person_key
    from contacts
    inner join persons
        on contacts.source_system = persons.source_system
        and persons.record_type = 'contact'
        and contacts.contact_id = persons.record_id
),

by_email as (
    select
        email_token,
        min(person_key) as person_key
    from addresses
    where email_token is not null
    group by email_token
    having count(distinct person_key) = 1
),

named as (
    select
        touches.touch_key,
        touches.visitor_id_token,
        touches.touch_type,
        coalesce(by_lead.person_key, by_contact.person_key, by_email.person_key) as person_key,
        case
            when by_lead.person_key is not null then 'lead'
            when by_contact.person_key is not null then 'contact'
            when by_email.person_key is not null then 'email'
        end as person_evidence
    from touches
    left join by_record as by_lead
        on by_lead.record_type = 'lead'
        and touches.lead_id = by_lead.record_id
    left join by_record as by_contact
        on by_contact.record_type = 'contact'
        and touches.contact_id = by_contact.record_id
    left join by_email on touches.email_token = by_email.email_token
),

by_visitor as (
    select
        visitor_id_token,
        min(person_key) as person_key
    from named
    where visitor_id_token is not null
        and touch_type = 'form'
        and person_key is not null
    group by visitor_id_token
    having count(distinct person_key) = 1
)

select
    named.touch_key,
    coalesce(named.person_key, by_visitor.person_key) as person_key,
    coalesce(named.person_evidence, case when by_visitor.person_key is not null then 'visitor' end, 'none') as person_evidence
from named
left join by_visitor on named.visitor_id_token = by_visitor.visitor_id_token

with

survivors as (
    select * from {{ ref('int_identity__survivors') }}
),

contacts as (
    {{ one_record_each('contacts') }}
),

leads as (
    {{ one_record_each('leads') }}
),

known_accounts as (
    select source_system, id as account_id, survivor_id as surviving_account_id
    from survivors
    where contract = 'accounts'
),

-- every contact that is left is a person, of the account that is left of its own
contact_persons as (
    select
        survivors.source_system,
        survivors.id as contact_id,
        survivors.survivor_id as person_id,
        survivors.is_merge_unresolved,
        known_accounts.surviving_account_id as account_id
    from survivors
    inner join contacts
        on survivors.source_system = contacts.source_system
        and survivors.survivor_id = contacts.contact_id
    left join known_accounts
        on contacts.source_system = known_accounts.source_system
        and contacts.account_id = known_accounts.account_id
    where survivors.contract = 'contacts'
),

-- a lead is the person that the lead which is left of it was converted to, else that lead
lead_persons as (
    select
        survivors.source_system,
        survivors.id as lead_id,
        case when contact_persons.person_id is null then 'lead' else 'contact' end as person_kind,
        coalesce(contact_persons.person_id, survivors.survivor_id) as person_id,
        survivors.is_merge_unresolved,
        contact_persons.account_id
    from survivors
    inner join leads
        on survivors.source_system = leads.source_system
        and survivors.survivor_id = leads.lead_id
    left join contact_persons
        on leads.source_system = contact_persons.source_system
        and leads.converted_contact_id = contact_persons.contact_id
    where survivors.contract = 'leads'
),

persons as (
    select
        source_system, 'lead' as record_type, lead_id as record_id, lead_id, null as contact_id, person_kind, person_id,
        account_id, is_merge_unresolved
    from lead_persons

    union all

    select
        source_system, 'contact' as record_type, contact_id as record_id, null as lead_id, contact_id,
        'contact' as person_kind, person_id, account_id, is_merge_unresolved
    from contact_persons
)

select
    cast(source_system as {{ dbt.type_string() }}) as source_system,
    cast(record_type as {{ dbt.type_string() }}) as record_type,
    cast(record_id as {{ dbt.type_string() }}) as record_id,
    cast(lead_id as {{ dbt.type_string() }}) as lead_id,
    cast(contact_id as {{ dbt.type_string() }}) as contact_id,
    {{ surrogate_key(['source_system', 'person_kind', 'person_id']) }} as person_key,
    cast(person_kind as {{ dbt.type_string() }}) as person_kind,
    cast(person_id as {{ dbt.type_string() }}) as person_id,
    cast(account_id as {{ dbt.type_string() }}) as account_id,
    case
        when account_id is null then '-1'
        else {{ surrogate_key(['source_system', 'account_id']) }}
    end as account_key,
    record_type = person_kind and record_id = person_id as is_person_record,
    is_merge_unresolved
from persons

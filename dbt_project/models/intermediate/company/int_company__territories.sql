with

territories as (
    {{ one_record_each('territories') }}
),

families as (
    {{ followed('territories', 'territory_id', 'parent_territory_id') }}
)

select
    {{ surrogate_key(['territories.source_system', 'territories.territory_id']) }} as territory_key,
    case
        when parents.territory_id is not null then {{ surrogate_key(['parents.source_system', 'parents.territory_id']) }}
    end as parent_territory_key,
    {{ surrogate_key(['families.source_system', 'families.end_id']) }} as top_territory_key,
    territories.source_system,
    territories.territory_id,
    territories.territory_name,
    territories.region,
    territories.manager_id,
    territories._load_id
from territories
inner join families
    on territories.source_system = families.source_system
    and territories.territory_id = families.id
left join territories as parents
    on territories.source_system = parents.source_system
    and territories.parent_territory_id = parents.territory_id

with

intervals as (
    select *, lead(valid_from) over (partition by rep_key order by valid_from) as next_from
    from {{ ref('int_company__rep_territories') }}
)

select * from intervals
where valid_from >= valid_to
    or valid_to > next_from

{#
    What records said of an entity over time (SCD2): one row for each stretch of days with the same attributes, half-open,
    without gaps. `changed_on` is the day from which a record counts; of several that count from one day the last delivered
    does, and a record that was delivered later never counts from an earlier day. What came before the first word of an
    entity is described by that first word, so that a join by day loses nothing.

    `also` names columns that are carried along and make no version of their own.
#}
{% macro versions_of(records, ids, attributes, changed_on, also=[]) -%}
    select
        {{ ids | join(', ') }},
        {{ (attributes + also) | join(', ') }},
        {{ surrogate_key(ids) }} as entity_key,
        {{ surrogate_key(ids + ['valid_from', 'content']) }} as version_key,
        valid_from,
        coalesce(lead(valid_from) over (partition by {{ ids | join(', ') }} order by valid_from), {{ last_day() }}) as valid_to,
        _load_id
    from (
        select
            *,
            case when nth_day = 1 then {{ first_day() }} else counts_from end as valid_from
        from (
            select
                *,
                {{ joined_text(attributes) }} as content,
                lag({{ joined_text(attributes) }}) over (partition by {{ ids | join(', ') }} order by counts_from) as content_before,
                row_number() over (partition by {{ ids | join(', ') }} order by counts_from) as nth_day
            from (
                select
                    *,
                    row_number() over (
                        partition by {{ ids | join(', ') }}, counts_from order by _load_seq desc, _file_seq desc, _line desc
                    ) as nth_of_day
                from (
                    select
                        *,
                        max({{ changed_on }}) over (
                            partition by {{ ids | join(', ') }} order by _load_seq, _file_seq, _line rows unbounded preceding
                        ) as counts_from
                    from {{ records }}
                ) as dated
            ) as ranked
            where nth_of_day = 1
        ) as compared
        where nth_day = 1
            or content <> content_before
    ) as changed
{%- endmacro %}

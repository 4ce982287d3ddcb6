{#
    What must hold of every row of a relation, in one query: a test per column costs a build more time than it tells.

    key         columns that name a row together (`a, b`), or a list of such: never null, never twice
    unique      columns (`a, b`) that are never twice together; null is a value like others
    never_null  columns (`a, b`) that always hold a value
    members     `column in model`, or `column in model.other_column`, comma between: the values are found there; null
                points to nothing
    values      column: the values it may hold (`x, y`); null is allowed

    A row per broken rule: the rule, the columns, how many rows break it.
#}
{% test sound(model, key=[], unique='', never_null='', members='', values={}) %}
    {%- set keys = [key] if key is string else key -%}
    {%- set rules = [] -%}
    {%- for columns in keys + ([unique] if unique else []) -%}
        {%- do rules.append(
            "select 'given twice', '" ~ columns ~ "', count(*)"
            ~ " from (select " ~ columns ~ " from " ~ model ~ " group by " ~ columns ~ " having count(*) > 1) as repeated"
        ) -%}
    {%- endfor -%}
    {%- set filled = (keys + [never_null] if never_null else keys) | join(',') -%}
    {%- for column in filled.split(',') | map('trim') | unique if column -%}
        {%- do rules.append(
            "select 'value is missing', '" ~ column ~ "', count(*) - count(" ~ column ~ ") from " ~ model
        ) -%}
    {%- endfor -%}
    {%- for member in members.split(',') if members -%}
        {%- set column, place = (member | trim).split(' in ') -%}
        {%- set named = place.split('.')[1] if '.' in place else column -%}
        {%- do rules.append(
            "select 'member is unknown', '" ~ column ~ "', count(*) from " ~ model ~ " as facts left join (select distinct "
            ~ named ~ " as member from " ~ ref(place.split('.')[0]) ~ ") as members on facts." ~ column
            ~ " = members.member where facts." ~ column ~ " is not null and members.member is null"
        ) -%}
    {%- endfor -%}
    {%- for column, allowed in values.items() -%}
        {%- do rules.append(
            "select 'value is not allowed', '" ~ column ~ "', count(*) from " ~ model ~ " where " ~ column
            ~ " not in ('" ~ allowed.split(',') | map('trim') | join("', '") ~ "')"
        ) -%}
    {%- endfor -%}
    select rule, column_names, bad_rows
    from (
        {{ rules | join('\n        union all\n        ') }}
    ) as rules (rule, column_names, bad_rows)
    where bad_rows > 0
{% endtest %}

{#
    From landed text to rows that are loaded, rejected or deduplicated: `stg_files__x`, `…__rejected` and
    `…__deduplicated` are the three outcomes of this one relation, so that no landed row is in two of them or in none.
#}

{# The value as the source meant it: null words are null, then the declared map speaks. #}
{% macro said(name, dialect, column) -%}
    {%- set words = dialect.null_words or [] -%}
    {%- set quoted = [] -%}
    {%- for word in words -%}{%- do quoted.append(sql_text(word)) -%}{%- endfor -%}
    {%- if quoted or column.map -%}
    case
        {%- if quoted %} when {{ name }} in ({{ quoted | join(', ') }}) then null{% endif %}
        {%- for before, after in (column.map or {}).items() %} when {{ name }} = {{ sql_text(before) }} then {{ sql_text(after) }}{% endfor %}
        else {{ name }}
    end
    {%- else -%}
    {{ name }}
    {%- endif -%}
{%- endmacro %}


{% macro cell_columns(dialect) -%}
    {%- if dialect.replaces == 'partition' -%}
        {{ return(dialect.partition) }}
    {%- elif dialect.replaces == 'keys' -%}
        {{ return(dialect.key) }}
    {%- else -%}
        {{ return([]) }}
    {%- endif -%}
{%- endmacro %}


{#
    The text that names the cell a row belongs to. It is built from typed values, so that `2/1/21` and `02/01/21` are one
    day. A row whose cell cannot be read belongs to its file: the file's next delivery replaces it.
#}
{% macro cell_text(contract, dialect) -%}
    {%- set columns = contract_columns(contract) -%}
    {%- set names = cell_columns(dialect) -%}
    {%- set unreadable = [] -%}
    {%- set values = ['source_system', 'stream', sql_text(dialect.replaces)] -%}
    {%- for name in names -%}
        {%- if columns[name].type in ('text', 'timestamp') -%}
            {%- do values.append('said_' ~ name) -%}
        {%- else -%}
            {%- do values.append(name) -%}
            {%- do unreadable.append('(said_' ~ name ~ ' is not null and ' ~ name ~ ' is null)') -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if dialect.replaces == 'file' -%}
    {{ joined_text(['source_system', 'stream', sql_text('file'), '_file']) }}
    {%- elif unreadable -%}
    case
        when {{ unreadable | join(' or ') }} then {{ unreadable_cell_text() }}
        else {{ joined_text(values) }}
    end
    {%- else -%}
    {{ joined_text(values) }}
    {%- endif -%}
{%- endmacro %}


{% macro unreadable_cell_text() -%}
    {{ joined_text(['source_system', 'stream', sql_text('unreadable in file'), '_file']) }}
{%- endmacro %}


{# The first thing that is wrong with a row, in contract order: `<column>: <what it is not>`. #}
{% macro reject_reason(contract, dialect) -%}
    {%- set allowed = var('allowed_values').get(contract, {}) -%}
    {#- What names a row of a level: spend of a campaign without a campaign cannot be followed. -#}
    {%- set named_by = var('named_by').get(contract, {}) -%}
    case
        {%- for name, column in contract_columns(contract).items() %}
        {%- set declared = dialect.columns.get(name) or {} %}
        {%- if column.required %}
        when coalesce(trim(said_{{ name }}), '') = '' then '{{ name }}: missing'
        {%- endif %}
        {%- if name in named_by %}
        when level in ('{{ named_by[name] | join("', '") }}') and coalesce(trim(said_{{ name }}), '') = '' then '{{ name }}: missing'
        {%- endif %}
        {%- if column.type != 'text' %}
        when said_{{ name }} is not null and {{ name }} is null then {{ sql_text(name ~ ': ' ~ not_a(column.type, dialect, declared)) }}
        {%- endif %}
        {%- if name in allowed %}
        when {{ name }} not in ('{{ allowed[name] | join("', '") }}') then '{{ name }}: not one of {{ allowed[name] | join(" ") }}'
        {%- endif %}
        {%- endfor %}
    end
{%- endmacro %}


{# Landed rows of one dialect, typed, with what is wrong, the cell, the key and the order that the dialect declares. #}
{% macro typed_records(contract, group) -%}
    {%- set columns = contract_columns(contract) -%}
    {%- set dialect = group.dialect -%}
    {%- set order_by = dialect.order_by -%}
    {%- set order_is_number = order_by and columns[order_by].type in ('amount', 'number', 'rate', 'integer') -%}
    select
        source_system, stream, _load_id, _file_seq, _file, _line,
        {%- for name in columns %}
        {{ name }}, original_{{ name }},
        {%- endfor %}
        {{ reject_reason(contract, dialect) }} as reject_reason,
        {{ cell_text(contract, dialect) }} as _cell,
        {% if dialect.key and dialect.key is not string -%}
        {{ joined_text(dialect.key) }}
        {%- else -%}
        cast(null as {{ dbt.type_string() }})
        {%- endif %} as _key,
        {% if order_by and not order_is_number %}cast({{ order_by }} as {{ dbt.type_string() }}){% else %}cast(null as {{ dbt.type_string() }}){% endif %} as _order_text,
        {% if order_is_number %}cast({{ order_by }} as decimal(38, 9)){% else %}cast(null as decimal(38, 9)){% endif %} as _order_number,
        cast({{ 1 if order_by else 0 }} as boolean) as _has_order
    from (
        select
            source_system, stream, _load_id, _file_seq, _file, _line,
            {%- for name, column in columns.items() %}
            original_{{ name }}, said_{{ name }},
            {{ typed('said_' ~ name ~ ('_utc' if column.type == 'timestamp' else ''), column.type, dialect, dialect.columns.get(name) or {}) }} as {{ name }},
            {%- endfor %}
        from (
            select
                _source as source_system, _stream as stream, _load_id, _file_seq, _file, _line,
                {%- for name, column in columns.items() %}
                {%- set landed = name ~ ('_token' if column.personal else '') %}
                {{ landed }} as original_{{ name }},
                {{ said(landed, dialect, dialect.columns.get(name) or {}) }} as said_{{ name }},
                {%- if column.type == 'timestamp' %}
                {{ name }}_utc as said_{{ name }}_utc,
                {%- endif %}
                {%- endfor %}
            from {{ landing(group.loads, 'records') }}
        ) as said_records
    ) as typed_records
{%- endmacro %}


{# Every landed row of a contract with its outcome: loaded, rejected or deduplicated, and why. #}
{% macro staged_records(contract, only_new=false) -%}
    {%- set columns = contract_columns(contract) -%}
    {%- set groups = landed_dialects(contract, only_new) -%}
    with

    loads as (
        select load_id, load_seq, known_at from {{ ref('stg_files__loads') }}
    ),

    typed_records as (
        {% for group in groups -%}
        {{ typed_records(contract, group) }}
        {{ 'union all' if not loop.last }}
        {% else -%}
        {{ empty_relation(record_shape(contract)) }}
        {% endfor %}
    ),

    last_file_of_cell as (
        select _load_id, _cell, max(_file_seq) as last_file_seq
        from {% if only_new %}({{ staged_covers(contract, only_new) }}) as covers{% else %}{{ ref('stg_files__' ~ contract ~ '__covers') }}{% endif %}
        group by _load_id, _cell
        having max(_file_seq) > min(_file_seq)
    ),

    placed as (
        select
            typed_records.*,
            loads.load_seq as _load_seq,
            loads.known_at as _known_at,
            coalesce(last_file_of_cell.last_file_seq > typed_records._file_seq, false) as _is_covered_again,
            -- a row that cannot be compared with others gets a key of its own
            case
                when typed_records._key is null
                    or typed_records.reject_reason is not null
                    or coalesce(last_file_of_cell.last_file_seq > typed_records._file_seq, false)
                    then '#' || cast(typed_records._line as {{ dbt.type_string() }})
                else typed_records._key
            end as _compared_key
        from typed_records
        inner join loads on typed_records._load_id = loads.load_id
        left join last_file_of_cell
            on typed_records._load_id = last_file_of_cell._load_id
            and typed_records._cell = last_file_of_cell._cell
    ),

    counted as (
        select
            *,
            count(*) over (partition by _load_id, _file_seq, _compared_key) as _rows_of_key
        from placed
    ),

    repeated as (
        select
            _load_id, _file_seq, _line, _compared_key, _has_order, _order_text, _order_number,
            row_number() over (
                partition by _load_id, _file_seq, _compared_key, {{ joined_text(columns.keys() | list) }}
                order by _line
            ) as _nth_of_same_content
        from counted
        where _rows_of_key > 1
    ),

    ranked as (
        select
            *,
            case when _has_order then rank() over (
                partition by _load_id, _file_seq, _compared_key
                order by _order_text desc nulls last, _order_number desc nulls last
            ) else 1 end as _rank_by_order
        from repeated
        where _nth_of_same_content = 1
    ),

    settled as (
        select
            _load_id, _file_seq, _line, _rank_by_order,
            count(*) over (partition by _load_id, _file_seq, _compared_key, _rank_by_order) as _rows_of_rank
        from ranked
    ),

    judged as (
        select
            counted.*,
            case
                when counted._is_covered_again then 'superseded'
                when counted.reject_reason is not null then counted.reject_reason
                when counted._rows_of_key = 1 then null
                when settled._line is null then 'identical'
                when settled._rank_by_order > 1 then 'superseded'
                when settled._rows_of_rank > 1 then 'conflicting_key'
            end as _reason
        from counted
        left join settled
            on counted._rows_of_key > 1
            and counted._load_id = settled._load_id
            and counted._file_seq = settled._file_seq
            and counted._line = settled._line
    ),

    outcomes as (
        select
            *,
            case
                when _reason is null then 'loaded'
                when _is_covered_again or _reason in ('identical', 'superseded') then 'deduplicated'
                else 'rejected'
            end as _outcome
        from judged
    )
{%- endmacro %}


{% macro record_shape(contract) -%}
    {%- set text = dbt.type_string() -%}
    {%- set shape = {'source_system': text, 'stream': text, '_load_id': text, '_file_seq': 'integer', '_file': text, '_line': 'bigint'} -%}
    {%- for name, column in contract_columns(contract).items() -%}
        {%- do shape.update({name: column_type(column.type), 'original_' ~ name: text}) -%}
    {%- endfor -%}
    {%- do shape.update({
        'reject_reason': text, '_cell': text, '_key': text, '_order_text': text, '_order_number': 'decimal(38, 9)', '_has_order': 'boolean',
    }) -%}
    {{ return(shape) }}
{%- endmacro %}


{% macro lineage_columns() -%}
    _load_id, _load_seq, _known_at, _file_seq, _file, _line, _cell
{%- endmacro %}


{% macro staged_loaded(contract, only_new=false) -%}
    {{ staged_records(contract, only_new) }}

    select
        source_system,
        stream,
        {%- for name in contract_columns(contract) %}
        {{ name }},
        {%- endfor %}
        {{ lineage_columns() }}
    from outcomes
    where _outcome = 'loaded'
{%- endmacro %}


{# Money of the row, where it reads: thresholds speak of shares of money too. #}
{% macro money_columns(contract) -%}
    {%- set amounts = [] -%}
    {%- set currencies = [] -%}
    {%- for name, column in contract_columns(contract).items() -%}
        {%- if column.type == 'amount' -%}{%- do amounts.append(name) -%}{%- endif -%}
        {%- if column.type == 'currency' -%}{%- do currencies.append(name) -%}{%- endif -%}
    {%- endfor -%}
    {{ return({'amount': amounts[0] if amounts else 'null', 'currency': currencies[0] if amounts and currencies else 'null'}) }}
{%- endmacro %}


{% macro staged_rejected(contract, only_new=false) -%}
    {%- set money = money_columns(contract) -%}
    {{ staged_records(contract, only_new) }}

    select
        source_system,
        stream,
        _reason as reject_reason,
        case when strpos(_reason, ':') > 0 then split_part(_reason, ':', 1) else '_key' end as reject_column,
        {{ json_record(contract_columns(contract).keys() | list, 'original_') }} as original_text,
        cast({{ money.amount }} as decimal(18, 6)) as amount,
        cast({{ money.currency }} as {{ dbt.type_string() }}) as currency,
        {{ lineage_columns() }}
    from outcomes
    where _outcome = 'rejected'
{%- endmacro %}


{% macro staged_deduplicated(contract, only_new=false) -%}
    {%- set money = money_columns(contract) -%}
    {{ staged_records(contract, only_new) }}

    select
        source_system,
        stream,
        _reason as deduplicate_reason,
        _is_covered_again as is_covered_again,
        cast({{ money.amount }} as decimal(18, 6)) as amount,
        cast({{ money.currency }} as {{ dbt.type_string() }}) as currency,
        {{ lineage_columns() }}
    from outcomes
    where _outcome = 'deduplicated'
{%- endmacro %}


{#
    What each file of each load covers, cell by cell, with the control totals of the second reader per currency. What the
    file says of the currency gets its meaning here, in the same words as in the rows, so that a text that is no currency is
    null in both.
#}
{% macro staged_covers(contract, only_new=false) -%}
    {%- set columns = contract_columns(contract) -%}
    {%- set measures = measure_columns(contract) -%}
    {%- set currency = money_columns(contract).currency -%}
    {%- set text = dbt.type_string() -%}
    {%- set shape = {
        'source_system': text, 'stream': text, '_load_id': text, '_file_seq': 'integer', '_file': text, '_cell': text,
        'control_currency': text, 'control_rows': 'bigint',
    } -%}
    {%- for name in measures -%}
        {%- do shape.update({'control_' ~ name: 'decimal(38, 9)', 'control_' ~ name ~ '_valid': 'bigint'}) -%}
    {%- endfor -%}
    with

    loads as (
        select load_id, load_seq, known_at from {{ ref('stg_files__loads') }}
    ),

    covers as (
        {% for group in landed_dialects(contract, only_new) -%}
        {%- set dialect = group.dialect -%}
        {%- set names = cell_columns(dialect) -%}
        select
            source_system, stream, _load_id, _file_seq, _file,
            {{ cell_text(contract, dialect) }} as _cell,
            {{ typed('said_control_currency', 'currency', dialect, dialect.columns.get(currency) or {}) }} as control_currency,
            control_rows
            {%- for name in measures %}, control_{{ name }}, control_{{ name }}_valid{% endfor %}
        from (
            select
                *
                {%- for name in names %},
                {{ typed('said_' ~ name, columns[name].type, dialect, dialect.columns.get(name) or {}) }} as {{ name }}
                {%- endfor %}
            from (
                select
                    _source as source_system, _stream as stream, _load_id, _file_seq, _file, control_rows,
                    {{ said('control_currency', dialect, dialect.columns.get(currency) or {}) }} as said_control_currency
                    {%- for name in measures %}, control_{{ name }}, control_{{ name }}_valid{% endfor %}
                    {%- for name in names %},
                    {{ said(name, dialect, dialect.columns.get(name) or {}) }} as said_{{ name }}
                    {%- endfor %}
                from {{ landing(group.loads, 'covers') }}
            ) as said_covers
        ) as typed_covers
        {{ 'union all' if not loop.last }}
        {% else -%}
        {{ empty_relation(shape) }}
        {% endfor %}
    ),

    files as (
        select distinct source_system, stream, _load_id, _file_seq, _file from covers
    ),

    -- a file that reads well now closes what could not be read in its earlier delivery
    with_unreadable as (
        select
            source_system, stream, _load_id, _file_seq, _file, _cell, control_currency, control_rows
            {%- for name in measures %}, control_{{ name }}, control_{{ name }}_valid{% endfor %}
        from covers
        union all
        select
            source_system, stream, _load_id, _file_seq, _file, {{ unreadable_cell_text() }} as _cell,
            cast(null as {{ text }}) as control_currency, 0 as control_rows
            {%- for name in measures %}, cast(0 as decimal(38, 9)) as control_{{ name }}, 0 as control_{{ name }}_valid{% endfor %}
        from files
    ),

    summed as (
        select
            source_system, stream, _load_id, _file_seq, _file, _cell, control_currency,
            cast(sum(control_rows) as bigint) as control_rows
            {%- for name in measures %},
            cast(coalesce(sum(control_{{ name }}), 0) as decimal(38, 9)) as control_{{ name }},
            cast(coalesce(sum(control_{{ name }}_valid), 0) as bigint) as control_{{ name }}_valid
            {%- endfor %}
        from with_unreadable
        group by source_system, stream, _load_id, _file_seq, _file, _cell, control_currency
    )

    select
        summed.source_system,
        summed.stream,
        summed._load_id,
        loads.load_seq as _load_seq,
        loads.known_at as _known_at,
        summed._file_seq,
        summed._file,
        summed._cell,
        summed.control_currency,
        summed.control_rows
        {%- for name in measures %},
        summed.control_{{ name }},
        summed.control_{{ name }}_valid
        {%- endfor %}
    from summed
    inner join loads on summed._load_id = loads.load_id
{%- endmacro %}

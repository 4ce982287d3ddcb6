{#
    Strict typing: a declared pattern first, then the cast; null when anything would be lost.

    A bare try_cast reads `1_000`, `0x10`, `1e3`, ` 12 `, `epoch` and rounds; none of that is what a file's owner declared.
    Each macro takes an expression of text in which null words are already null.
#}

{# A literal as a regular expression; a class instead of a backslash, because engines disagree on backslashes in literals. #}
{% macro pattern_of(literal) -%}
    {%- set parts = [] -%}
    {%- for character in literal -%}
        {%- if character in '.$*+?()[]{}|' -%}
            {%- do parts.append('[' ~ character ~ ']') -%}
        {%- elif character in '^\\' -%}
            {%- do parts.append('\\' ~ character) -%}
        {%- else -%}
            {%- do parts.append(character) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(parts | join('')) }}
{%- endmacro %}


{% macro to_decimal_text(expression, dialect, prefix, decimals) -%}
    {%- set mark = dialect.decimal or '.' -%}
    {%- set grouping = dialect.grouping or '' -%}
    {%- set whole = '([0-9]+|[0-9]{1,3}(' ~ pattern_of(grouping) ~ '[0-9]{3})+)' if grouping else '[0-9]+' -%}
    {%- set fraction = '(' ~ pattern_of(mark) ~ '[0-9]{1,' ~ decimals ~ '})?' if decimals else '' -%}
    {%- set sign = '(-?' ~ pattern_of(prefix) ~ '|' ~ pattern_of(prefix) ~ '-)' if prefix else '-?' -%}
    {%- set bare = namespace(sql=expression) -%}
    {%- if prefix -%}
        {%- set bare.sql = 'replace(' ~ bare.sql ~ ', ' ~ sql_text(prefix) ~ ", '')" -%}
    {%- endif -%}
    {%- if grouping -%}
        {%- set bare.sql = 'replace(' ~ bare.sql ~ ', ' ~ sql_text(grouping) ~ ", '')" -%}
    {%- endif -%}
    {%- if mark != '.' -%}
        {%- set bare.sql = 'replace(' ~ bare.sql ~ ', ' ~ sql_text(mark) ~ ", '.')" -%}
    {%- endif -%}
    case when {{ full_match(expression, sign ~ whole ~ fraction) }} then {{ bare.sql }} end
{%- endmacro %}


{# A whole number of millionths: the point is set in the text, because no engine divides decimals exactly. #}
{% macro micros_text(expression) -%}
    {%- set digits = "replace(" ~ expression ~ ", '-', '')" -%}
    {%- set padded = 'case when length(' ~ digits ~ ') < 7 then lpad(' ~ digits ~ ", 7, '0') else " ~ digits ~ ' end' -%}
    case when {{ full_match(expression, '-?[0-9]+') }} then
        case when substr({{ expression }}, 1, 1) = '-' then '-' else '' end
        || substr({{ padded }}, 1, length({{ padded }}) - 6) || '.' || substr({{ padded }}, length({{ padded }}) - 5)
    end
{%- endmacro %}


{# A float as text: 18 decimals of it are read, then it is rounded half up to six. #}
{% macro to_rounded(expression) -%}
    try_cast(round(try_cast(
        case
            when {{ full_match(expression, '-?[0-9]+[.][0-9]+') }} then substr({{ expression }}, 1, strpos({{ expression }}, '.') + 18)
            when {{ full_match(expression, '-?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]{1,2})?') }} then {{ expression }}
        end
    as decimal(38, 18)), 6) as decimal(18, 6))
{%- endmacro %}


{% macro to_amount(expression, dialect, column) -%}
    {%- if column.unit == 'micros' -%}
    try_cast({{ micros_text(expression) }} as decimal(18, 6))
    {%- else -%}
    {{ to_number(expression, dialect, column) }}
    {%- endif -%}
{%- endmacro %}


{% macro to_number(expression, dialect, column) -%}
    {%- if column.rounded -%}
    {{ to_rounded(expression) }}
    {%- else -%}
    try_cast({{ to_decimal_text(expression, dialect, column.prefix, 6) }} as decimal(18, 6))
    {%- endif -%}
{%- endmacro %}


{% macro to_integer(expression, dialect, column) -%}
    try_cast({{ to_decimal_text(expression, dialect, column.prefix, 0) }} as bigint)
{%- endmacro %}


{# Nothing is worth nothing or less: a rate of 0 or below is a broken rate. #}
{% macro to_rate(expression, dialect, column) -%}
    {%- set rate = 'try_cast(' ~ to_decimal_text(expression, dialect, column.prefix, 9) ~ ' as decimal(18, 9))' -%}
    case when {{ rate }} > 0 then {{ rate }} end
{%- endmacro %}


{#
    %d, %m, %H, %M, %S read one or two digits between separators and exactly two beside another token; %Y reads four
    digits from 1900 to 2099, because `0021` and `20211` are slips of a keyboard; %y reads two.
#}
{% macro format_pattern(format) -%}
    {%- set months = '(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)' -%}
    {%- set tokens = [] -%}
    {%- set state = namespace(at=0) -%}
    {%- for index in range(format | length) -%}
        {%- if index >= state.at -%}
            {%- if format[index] == '%' -%}
                {%- do tokens.append(format[index:index + 2]) -%}
                {%- set state.at = index + 2 -%}
            {%- else -%}
                {%- do tokens.append(format[index]) -%}
                {%- set state.at = index + 1 -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set parts = [] -%}
    {%- for token in tokens -%}
        {%- set beside_token = (not loop.first and tokens[loop.index0 - 1] | length == 2)
            or (not loop.last and tokens[loop.index0 + 1] | length == 2) -%}
        {%- if token == '%Y' -%}
            {%- do parts.append('(19|20)[0-9]{2}') -%}
        {%- elif token == '%y' -%}
            {%- do parts.append('[0-9]{2}') -%}
        {%- elif token == '%b' -%}
            {%- do parts.append(months) -%}
        {%- elif token in ('%d', '%m', '%H', '%M', '%S') -%}
            {%- do parts.append('[0-9]{2}' if beside_token else '[0-9]{1,2}') -%}
        {%- elif token | length == 2 -%}
            {%- do exceptions.raise_compiler_error('Unknown token ' ~ token ~ ' in the format ' ~ format ~ ': use %Y %y %m %d %b %H %M %S.') -%}
        {%- else -%}
            {%- do parts.append(pattern_of(token)) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(parts | join('')) }}
{%- endmacro %}


{% macro to_date(expression, dialect, column) -%}
    {%- set format = column.format or '%Y-%m-%d' -%}
    {%- set day -%}
    cast(case when {{ full_match(expression, format_pattern(format)) }} then {{ parse_timestamp(expression, format) }} end as date)
    {%- endset -%}
    {%- if column.add_days -%}
    cast({{ dbt.dateadd('day', column.add_days, day) }} as date)
    {%- else -%}
    {{ day }}
    {%- endif -%}
{%- endmacro %}


{# The landing has computed the UTC text; a local time that it could not place has none. #}
{% macro to_timestamp_utc(expression, dialect, column) -%}
    try_cast(
        case when {{ full_match(expression, '[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?') }} then {{ expression }} end
        as timestamp
    )
{%- endmacro %}


{% macro to_currency(expression, dialect, column) -%}
    case when {{ expression }} in ({% for code in currency_codes() %}'{{ code }}'{{ ', ' if not loop.last }}{% endfor %}) then {{ expression }} end
{%- endmacro %}


{% macro to_boolean(expression, dialect, column) -%}
    case {{ expression }} when 'true' then cast(1 as boolean) when 'false' then cast(0 as boolean) end
{%- endmacro %}


{% macro to_text(expression, dialect, column) -%}
    {{ expression }}
{%- endmacro %}


{#
    ISO 4217, codes of money that is paid with (no metals, no test code): those in use, then those withdrawn since 1999, because old
    bookings are in old money and lists of rates carry its codes on.
#}
{% macro currency_codes() -%}
    {{ return((
        'AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF '
        ~ 'CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD '
        ~ 'HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD '
        ~ 'MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN '
        ~ 'PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD '
        ~ 'TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG '
        ~ 'ADP AFA ANG AOR ATS AZM BEF BGL BYB BYR CSD CUC CYP DEM ECS EEK ESP FIM FRF GHC GRD HRK IEP ITL LTL LUF LVL MGF MRO MTL '
        ~ 'MZM NLG PTE ROL RUR SDD SIT SKK SLL SRG STD TJR TMM TPE TRL USS VEB VEF XEU YUM ZMK ZWD ZWL ZWN ZWR'
    ).split(' ')) }}
{%- endmacro %}


{# The type's macro on an expression of text. #}
{% macro typed(expression, type, dialect, column) -%}
    {%- set macros = {
        'text': to_text, 'currency': to_currency, 'date': to_date, 'timestamp': to_timestamp_utc, 'amount': to_amount,
        'number': to_number, 'rate': to_rate, 'integer': to_integer, 'boolean': to_boolean,
    } -%}
    {{ return(macros[type](expression, dialect, column)) }}
{%- endmacro %}


{# What a value should have been, for people who mend the file. #}
{% macro not_a(type, dialect, column) -%}
    {%- if type == 'date' -%}
        {{ return('not a date in ' ~ (column.format or '%Y-%m-%d')) }}
    {%- elif type == 'timestamp' and column.unit == 'micros' -%}
        {{ return('not a whole number of micros since 1970') }}
    {%- elif type == 'timestamp' -%}
        {{ return('not a time in ' ~ (column.format or '%Y-%m-%d %H:%M:%S') ~ (' of ' ~ column.zone if column.zone else '')) }}
    {%- elif type == 'currency' -%}
        {{ return('not a currency code of ISO 4217') }}
    {%- elif type == 'boolean' -%}
        {{ return('not true or false') }}
    {%- elif column.unit == 'micros' -%}
        {{ return('not a whole number of micros') }}
    {%- elif type in ('amount', 'number', 'rate', 'integer') -%}
        {{ return('not a' ~ ('n ' if type in ('amount', 'integer') else ' ') ~ type
            ~ (' with decimal mark ' ~ (dialect.decimal or '.') if type != 'integer' else '')
            ~ (' grouped by ' ~ dialect.grouping if dialect.grouping else '')
            ~ (' after ' ~ column.prefix if column.prefix else '')) }}
    {%- else -%}
        {{ return('not a ' ~ type) }}
    {%- endif -%}
{%- endmacro %}

{{ config(**by_partition('_load_id')) }}

{% set text = dbt.type_string() -%}
{%- set delivered = [] -%}
{%- for contract in var('contracts') if landed_dialects(contract, only_new=is_incremental()) -%}
    {%- do delivered.append(contract) -%}
{%- endfor -%}
with

loads as (
    select load_id, load_seq, known_at from {{ ref('stg_files__loads') }}
),

covers as (
    {% for contract in delivered -%}
    select * from (
        {{ staged_covers(contract, only_new=is_incremental()) }}
    ) as covers_of_contract
    {{ 'union all' if not loop.last }}
    {% else -%}
    {{ empty_relation({
        'contract': text, 'source_system': text, 'stream': text, '_load_id': text, '_file_seq': 'integer', '_file': text, '_cell': text,
        'control_currency': text, 'control_rows': 'bigint', 'control_amount': 'decimal(38, 9)',
    }) }}
    {%- endfor %}
)

select
    covers.contract,
    covers.source_system,
    covers.stream,
    covers._load_id,
    loads.load_seq as _load_seq,
    loads.known_at as _known_at,
    covers._file_seq,
    covers._file,
    covers._cell,
    covers.control_currency,
    covers.control_rows,
    covers.control_amount
from covers
inner join loads on covers._load_id = loads.load_id

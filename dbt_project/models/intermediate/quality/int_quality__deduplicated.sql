{{ config(**by_partition('_load_id')) }}

with

outcomes as (
    {% call union_contracts('__outcomes', [
        'source_system', 'stream', '_outcome', '_reason as deduplicate_reason', '_is_covered_again as is_covered_again',
        '_left_out_amount as amount', '_left_out_currency as currency',
        '_load_id', '_load_seq', '_known_at', '_file_seq', '_file', '_line', '_cell',
    ]) %}{{ only_new_loads() }}{% endcall %}
)

select
    contract,
    source_system,
    stream,
    deduplicate_reason,
    is_covered_again,
    amount,
    currency,
    _load_id,
    _load_seq,
    _known_at,
    _file_seq,
    _file,
    _line,
    _cell
from outcomes
where _outcome = 'deduplicated'

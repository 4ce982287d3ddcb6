{{ config(**by_partition('_load_id')) }}

{% call union_contracts('__rejected', [
    'source_system', 'stream', 'reject_reason', 'reject_column', 'original_text', 'amount', 'currency',
    '_load_id', '_load_seq', '_known_at', '_file_seq', '_file', '_line', '_cell',
]) %}{{ only_new_loads() }}{% endcall %}

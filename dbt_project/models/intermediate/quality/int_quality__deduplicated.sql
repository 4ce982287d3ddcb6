{{ config(**by_partition('_load_id')) }}

{{ union_sources(var('contracts').keys() | list, '__deduplicated', [
    'source_system', 'stream', 'deduplicate_reason', 'is_covered_again', 'amount', 'currency',
    '_load_id', '_load_seq', '_known_at', '_file_seq', '_file', '_line', '_cell',
]) }}

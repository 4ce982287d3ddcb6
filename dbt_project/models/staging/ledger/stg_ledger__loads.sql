{% set text = dbt.type_string() -%}
{{ exported('loads', {
    'load_id': text, 'seq': 'bigint', 'source': text, 'stream': text, 'contract': text, 'state': text, 'known_at': 'timestamp',
    'rows_extracted': 'bigint', 'rows_landed': 'bigint', 'rows_rejected': 'bigint',
}) }}

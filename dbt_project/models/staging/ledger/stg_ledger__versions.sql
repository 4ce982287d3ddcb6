{% set text = dbt.type_string() -%}
{{ exported('versions', {'run_id': text, 'token': 'bigint', 'published_at': 'timestamp', 'state': text}) }}

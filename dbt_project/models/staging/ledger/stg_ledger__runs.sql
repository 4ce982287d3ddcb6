{% set text = dbt.type_string() -%}
{{ exported('runs', {
    'run_id': text, 'kind': text, 'as_of': 'timestamp', 'started_at': 'timestamp', 'finished_at': 'timestamp', 'state': text,
    'failed_step': text,
}) }}

{% set text = dbt.type_string() -%}
{{ exported('checks', {
    'run_id': text, 'gate': text, 'check_id': text, 'severity': text, 'owner': text, 'subject': text, 'state': text,
    'observed': text, 'because': text, 'checked_at': 'timestamp',
}) }}

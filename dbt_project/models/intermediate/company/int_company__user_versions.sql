-- What the CRM said of each of its users over time, from the day on which it became known.
{% set attributes = [
    'full_name', 'function', 'role', 'rep_type', 'manager_id', 'team', 'calendar', 'hired_on', 'ramp_end_on', 'left_on',
] %}
{{ versions_of(
    ref('int_conformed__users'), ['source_system', 'user_id'], attributes, 'cast(_known_at as date)',
) }}

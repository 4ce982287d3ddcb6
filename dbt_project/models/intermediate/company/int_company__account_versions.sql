-- What the CRM said of each account over time. A change counts from the day on which the CRM says it was made; from the day
-- on which it became known where it does not say so, or names a day to come.
{% set attributes = [
    'account_name', 'parent_account_id', 'merged_into_id', 'domain', 'segment', 'industry', 'country', 'region', 'territory_id', 'owner_id',
    'is_target', 'is_deleted',
] %}
{{ versions_of(
    ref('int_conformed__accounts'), ['source_system', 'account_id'], attributes,
    'least(coalesce(cast(modified_at as date), cast(_known_at as date)), cast(_known_at as date))',
) }}

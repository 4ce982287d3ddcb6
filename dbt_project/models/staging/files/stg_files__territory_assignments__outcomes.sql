{{ config(**by_partition('_load_id')) }}

{{ staged_outcomes('territory_assignments') }}

{{ config(**by_partition('_load_id')) }}

{{ conformed_records('fx_rates') }}

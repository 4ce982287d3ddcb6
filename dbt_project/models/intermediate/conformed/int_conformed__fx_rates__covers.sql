{{ config(**by_partition('_load_id')) }}

{{ conformed_covers('fx_rates') }}

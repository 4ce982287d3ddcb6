{{ staged_covers('fx_rates') }}

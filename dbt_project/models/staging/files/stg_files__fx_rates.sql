{{ staged_loaded('fx_rates') }}

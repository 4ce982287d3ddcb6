{{ staged_rejected('fx_rates') }}

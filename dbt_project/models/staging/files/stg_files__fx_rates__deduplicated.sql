{{ staged_deduplicated('fx_rates') }}

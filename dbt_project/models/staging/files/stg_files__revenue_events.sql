{{ staged_loaded('revenue_events') }}

{{ staged_rejected('revenue_events') }}

{{ staged_rejected('event_touches') }}

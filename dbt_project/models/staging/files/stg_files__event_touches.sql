{{ staged_loaded('event_touches') }}

{{ staged_loaded('web_touches') }}

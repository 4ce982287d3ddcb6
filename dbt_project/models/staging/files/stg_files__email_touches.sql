{{ staged_loaded('email_touches') }}

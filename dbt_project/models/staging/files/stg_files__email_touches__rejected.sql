{{ staged_rejected('email_touches') }}

{{ staged_rejected('web_touches') }}

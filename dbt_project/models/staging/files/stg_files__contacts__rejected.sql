{{ staged_rejected('contacts') }}

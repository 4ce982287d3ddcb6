{{ staged_rejected('users') }}

{{ staged_rejected('accounts') }}

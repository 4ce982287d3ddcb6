{{ staged_loaded('accounts') }}

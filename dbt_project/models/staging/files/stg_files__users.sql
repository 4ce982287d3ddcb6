{{ staged_loaded('users') }}

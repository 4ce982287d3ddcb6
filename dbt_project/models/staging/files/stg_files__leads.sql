{{ staged_loaded('leads') }}

{{ staged_loaded('contacts') }}

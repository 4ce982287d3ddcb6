{{ staged_loaded('holidays') }}

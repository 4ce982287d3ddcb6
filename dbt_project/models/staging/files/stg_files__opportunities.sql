{{ staged_loaded('opportunities') }}

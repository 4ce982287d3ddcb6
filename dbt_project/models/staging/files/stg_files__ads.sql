{{ staged_loaded('ads') }}

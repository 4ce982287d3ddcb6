{{ staged_loaded('activities') }}

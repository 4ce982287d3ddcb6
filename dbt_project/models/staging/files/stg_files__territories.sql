{{ staged_loaded('territories') }}

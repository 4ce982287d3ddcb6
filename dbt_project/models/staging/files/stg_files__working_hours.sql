{{ staged_loaded('working_hours') }}

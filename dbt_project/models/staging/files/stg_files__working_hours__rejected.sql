{{ staged_rejected('working_hours') }}

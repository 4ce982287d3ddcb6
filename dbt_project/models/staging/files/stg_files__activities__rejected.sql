{{ staged_rejected('activities') }}

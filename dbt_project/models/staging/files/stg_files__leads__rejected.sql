{{ staged_rejected('leads') }}

{{ staged_rejected('holidays') }}

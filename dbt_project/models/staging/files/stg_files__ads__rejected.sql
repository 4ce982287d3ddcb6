{{ staged_rejected('ads') }}

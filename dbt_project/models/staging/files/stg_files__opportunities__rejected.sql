{{ staged_rejected('opportunities') }}

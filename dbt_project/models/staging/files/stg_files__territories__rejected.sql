{{ staged_rejected('territories') }}

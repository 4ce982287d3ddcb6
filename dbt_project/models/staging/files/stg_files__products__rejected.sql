{{ staged_rejected('products') }}

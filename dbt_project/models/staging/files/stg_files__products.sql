{{ staged_loaded('products') }}

{{ conformed_records('products') }}

{{ staged_loaded('plan_values') }}

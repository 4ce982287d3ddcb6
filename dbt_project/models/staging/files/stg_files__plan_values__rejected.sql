{{ staged_rejected('plan_values') }}

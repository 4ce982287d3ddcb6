{{ staged_rejected('performance_daily') }}

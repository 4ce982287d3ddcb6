{{ staged_loaded('performance_daily') }}

{{ staged_covers('performance_daily') }}

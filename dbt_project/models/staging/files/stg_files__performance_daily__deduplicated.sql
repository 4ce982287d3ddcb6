{{ staged_deduplicated('performance_daily') }}

{{ staged_loaded('ad_groups') }}

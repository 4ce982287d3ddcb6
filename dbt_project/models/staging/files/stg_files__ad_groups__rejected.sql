{{ staged_rejected('ad_groups') }}

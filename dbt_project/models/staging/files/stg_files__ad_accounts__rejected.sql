{{ staged_rejected('ad_accounts') }}

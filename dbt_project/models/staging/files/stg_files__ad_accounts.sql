{{ staged_loaded('ad_accounts') }}

{{ staged_covers('ad_accounts') }}

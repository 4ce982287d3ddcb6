{{ staged_deduplicated('ad_accounts') }}

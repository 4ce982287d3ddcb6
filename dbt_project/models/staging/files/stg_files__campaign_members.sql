{{ staged_loaded('campaign_members') }}

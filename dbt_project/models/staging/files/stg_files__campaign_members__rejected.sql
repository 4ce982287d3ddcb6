{{ staged_rejected('campaign_members') }}

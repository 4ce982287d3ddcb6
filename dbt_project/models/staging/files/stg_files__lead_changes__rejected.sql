{{ staged_rejected('lead_changes') }}

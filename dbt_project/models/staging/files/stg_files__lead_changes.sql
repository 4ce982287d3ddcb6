{{ staged_loaded('lead_changes') }}

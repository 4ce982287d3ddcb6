{{ staged_loaded('opportunity_changes') }}

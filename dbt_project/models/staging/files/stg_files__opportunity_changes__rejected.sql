{{ staged_rejected('opportunity_changes') }}

{{ staged_loaded('opportunity_splits') }}

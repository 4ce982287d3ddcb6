{{ staged_rejected('opportunity_splits') }}

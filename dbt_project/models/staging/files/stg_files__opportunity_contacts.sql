{{ staged_loaded('opportunity_contacts') }}

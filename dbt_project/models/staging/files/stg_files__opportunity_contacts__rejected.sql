{{ staged_rejected('opportunity_contacts') }}

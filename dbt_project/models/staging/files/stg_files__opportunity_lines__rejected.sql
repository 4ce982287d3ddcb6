{{ staged_rejected('opportunity_lines') }}

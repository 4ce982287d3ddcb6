{{ staged_loaded('opportunity_lines') }}

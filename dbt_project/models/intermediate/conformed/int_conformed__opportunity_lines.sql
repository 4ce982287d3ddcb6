{{ conformed_records('opportunity_lines') }}

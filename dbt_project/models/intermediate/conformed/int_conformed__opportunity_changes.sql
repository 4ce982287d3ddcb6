{{ conformed_records('opportunity_changes') }}

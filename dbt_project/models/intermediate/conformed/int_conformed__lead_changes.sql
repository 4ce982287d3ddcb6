{{ conformed_records('lead_changes') }}

{{ conformed_records('opportunity_splits') }}

{{ conformed_records('revenue_events') }}

{{ conformed_records('event_touches') }}

{{ conformed_records('email_touches') }}

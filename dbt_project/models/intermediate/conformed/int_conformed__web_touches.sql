{{ conformed_records('web_touches') }}

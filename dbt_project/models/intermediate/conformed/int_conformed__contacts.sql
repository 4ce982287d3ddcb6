{{ conformed_records('contacts') }}

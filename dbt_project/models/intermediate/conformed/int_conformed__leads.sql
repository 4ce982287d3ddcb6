{{ conformed_records('leads') }}

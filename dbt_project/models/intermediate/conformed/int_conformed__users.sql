{{ conformed_records('users') }}

{{ conformed_records('accounts') }}

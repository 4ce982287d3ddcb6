{{ conformed_records('holidays') }}

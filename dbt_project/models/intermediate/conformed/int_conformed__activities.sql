{{ conformed_records('activities') }}

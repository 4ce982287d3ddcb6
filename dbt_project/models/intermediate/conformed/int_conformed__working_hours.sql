{{ conformed_records('working_hours') }}

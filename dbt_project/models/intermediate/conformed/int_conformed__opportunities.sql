{{ conformed_records('opportunities') }}

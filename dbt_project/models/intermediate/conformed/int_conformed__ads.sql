{{ conformed_records('ads') }}

{{ conformed_records('territories') }}

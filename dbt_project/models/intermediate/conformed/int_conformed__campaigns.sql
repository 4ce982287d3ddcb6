{{ conformed_records('campaigns') }}

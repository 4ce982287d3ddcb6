{{ conformed_records('performance_daily') }}

{{ conformed_records('plan_values') }}

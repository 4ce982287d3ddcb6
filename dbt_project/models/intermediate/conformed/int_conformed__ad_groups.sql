{{ conformed_records('ad_groups') }}

{{ conformed_records('ad_accounts') }}

{{ conformed_records('campaign_members') }}

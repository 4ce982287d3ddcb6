{{ campaign_versions(base_only=true) }}

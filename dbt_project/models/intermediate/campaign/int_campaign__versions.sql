{{ campaign_versions() }}

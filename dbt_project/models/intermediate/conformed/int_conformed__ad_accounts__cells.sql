{{ cell_versions('ad_accounts') }}

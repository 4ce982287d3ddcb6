{{ cell_versions('campaigns') }}

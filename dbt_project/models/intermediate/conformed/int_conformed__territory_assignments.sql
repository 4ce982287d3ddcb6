{{ conformed_records('territory_assignments') }}

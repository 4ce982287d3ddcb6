{{ staged_loaded('territory_assignments') }}

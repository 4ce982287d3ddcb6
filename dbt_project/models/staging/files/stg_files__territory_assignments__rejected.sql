{{ staged_rejected('territory_assignments') }}

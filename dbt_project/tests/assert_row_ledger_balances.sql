select * from {{ ref('row_ledger') }}
where row_difference <> 0

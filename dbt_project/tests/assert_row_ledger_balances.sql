select * from {{ ref('row_ledger') }}
where difference <> 0

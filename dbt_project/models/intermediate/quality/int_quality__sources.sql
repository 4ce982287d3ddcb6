select
    source_system,
    owner,
    is_required,
    final_after_days
from {{ ref('stg_files__sources') }}

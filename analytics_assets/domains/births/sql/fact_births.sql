with landed as (
    select *
    from births.raw_births
    where year({birth_date}) = source_year
),

places as (
    select municipality_code, left(municipality_code, 6) as code6
    from births.dim_municipality
    where municipality_code <> '0000000'
),

typed as (
    select
        landed.source_state,
        landed.source_year,
        landed.source_row,
        {raw_columns},
        {typed_columns}
    from landed
    {place_joins}
),

flagged as (
    select
        *,
        {flags},
        {unreadable_columns} as unreadable_columns,
        coalesce(CODMUNNASC, '0000000') as birth_municipality_code,
        coalesce(CODMUNRES, '0000000') as residence_municipality_code,
        coalesce(CODESTAB, '0000000') as cnes_code,
        coalesce(CODOCUPMAE, '000000') as occupation_code,
        case {maternal_age_groups} else 'unknown' end as maternal_age_group,
        case {birth_weight_classes} else 'unknown' end as birth_weight_class
    from typed
)

select
    concat(source_state, '-', source_year, '-', source_row) as birth_id,
    {columns}
from flagged

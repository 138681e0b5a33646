with cells as (
    select
        year(DTNASC) as year,
        left(birth_municipality_code, 2) as state_code,
        {by}
        {bin} as {bin_column},
        {measures}
    from births.fact_births
    where {column} is not null
    group by all
),

{states}

select
    cells.year,
    {state_columns},
    {by_names}
    cells.{bin_column},
    {measure_names}
from cells
left join states on states.state_code = cells.state_code
left join regions on regions.region_code = states.region_code

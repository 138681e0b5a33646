with cells as (
    select
        year(DTNASC) as year,
        left(birth_municipality_code, 2) as state_code,
        {breakdown} as breakdown,
        {category} as category,
        {measures}
    from births.fact_births
    group by grouping sets ({grouping_sets})
),

{states}

select
    cells.year,
    {state_columns},
    cells.breakdown,
    cells.category,
    {measure_names}
from cells
left join states on states.state_code = cells.state_code
left join regions on regions.region_code = states.region_code

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

states as (
    select * from births.dim_state
),

regions as (
    select * from births.dim_region
)

select
    cells.year,
    states.state_code,
    states.state_abbreviation,
    states.state_name,
    regions.region_code,
    regions.region_name,
    cells.breakdown,
    cells.category,
    {measure_names}
from cells
left join states on states.state_code = cells.state_code
left join regions on regions.region_code = states.region_code

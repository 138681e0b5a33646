with cells as (
    select
        DTNASC as date,
        birth_municipality_code as municipality_code,
        {measures}
    from births.fact_births
    group by all
),

municipalities as (
    select * from births.dim_municipality
),

states as (
    select * from births.dim_state
),

regions as (
    select * from births.dim_region
)

-- A municipality that is not in the code list keeps its code, and its first two digits say its state.
select
    cells.date,
    cells.municipality_code,
    coalesce(municipalities.municipality_name, 'Not in the code list') as municipality_name,
    states.state_code,
    states.state_abbreviation,
    states.state_name,
    regions.region_code,
    regions.region_name,
    {measure_names}
from cells
left join municipalities on municipalities.municipality_code = cells.municipality_code
left join states on states.state_code = left(cells.municipality_code, 2)
left join regions on regions.region_code = states.region_code

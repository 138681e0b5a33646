with cells as (
    select
        {time},
        {municipality} as municipality_code,
        {measures}
    from births.fact_births
    group by all
),

municipalities as (
    select * from births.dim_municipality
),

{states}

-- A municipality that is not in the code list keeps its code, and its first two digits say its state.
select
    {time_names},
    cells.municipality_code,
    coalesce(municipalities.municipality_name, 'Not in the code list') as municipality_name,
    {state_columns},
    {measure_names}
from cells
left join municipalities on municipalities.municipality_code = cells.municipality_code
left join states on states.state_code = left(cells.municipality_code, 2)
left join regions on regions.region_code = states.region_code

with cells as (
    select
        year(DTNASC) as year,
        occupation_code,
        {measures}
    from births.fact_births
    group by all
),

occupations as (
    select * from births.dim_occupation
)

select
    cells.year,
    cells.occupation_code,
    case
        when cells.occupation_code = '000000' then 'Unknown'
        else coalesce(occupations.occupation_name, 'Not in the code list')
    end as occupation_name,
    {measure_names}
from cells
left join occupations on occupations.occupation_code = cells.occupation_code

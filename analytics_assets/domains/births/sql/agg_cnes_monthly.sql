with cells as (
    select
        year(DTNASC) as year,
        month(DTNASC) as month,
        cnes_code,
        {measures}
    from births.fact_births
    group by all
),

facilities as (
    select * from births.raw_health_facilities
)

select
    cells.year,
    cells.month,
    cells.cnes_code,
    case
        when cells.cnes_code = '0000000' then 'None or unknown'
        else coalesce(facilities.facility_name, 'Not in the code list')
    end as facility_name,
    {measure_names}
from cells
left join facilities on facilities.cnes_code = cells.cnes_code

with cells as (
    select
        {time},
        {code},
        {measures}
    from births.fact_births
    group by all
),

{names} as (
    select * from {names_table}
)

select
    {time_names},
    cells.{code},
    case
        when cells.{code} = '{unknown}' then '{unknown_name}'
        else coalesce({names}.{name}, 'Not in the code list')
    end as {name},
    {measure_names}
from cells
left join {names} on {names}.{code} = cells.{code}

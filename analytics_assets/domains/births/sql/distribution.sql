select
    year(DTNASC) as year,
    {by}
    {bin} as {bin_column},
    {measures}
from births.fact_births
where {column} is not null
group by all

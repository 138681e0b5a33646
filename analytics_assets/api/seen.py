"""Whether tables are as their last release left them, asked of PostgreSQL itself.

Belongs here: the statements.
Does not belong here: what follows from it (``meta.py``, ``kept.py``).

A ledger that says "there" is not the table: the very relations, triggers and entries of the last
release are looked up, and whether anybody wrote to them since.
"""

from analytics_assets.api.versions import version_sql
from analytics_assets.production.records import SCHEMA, TRIGGER


def _seen(columns: str, which: str) -> str:
    return f"""
with entered as (
    select table_name, concat_ws(' ', count(*), sum(id)) as entries from (
        select distinct on (table_name, partition) table_name, id
        from {SCHEMA}.ledger where {which} order by table_name, partition, id desc
    ) as latest group by table_name
), known as (
    select *, regexp_replace(store, '^.* ', '') as triggers,
        cast(string_to_array(regexp_replace(store, ' [^ ]*$', ''), ' ') as oid[]) as numbers
    from {SCHEMA}.relation where {which}
)
select r.table_name, {columns}
    (select count(*) from pg_class as c where c.oid = any(r.numbers)) = cardinality(r.numbers)
    and r.triggers = (
        select concat(count(*), 't') from pg_trigger as t
        where t.tgname = '{TRIGGER}' and t.tgenabled in ('O', 'A') and t.tgrelid = any(r.numbers)
    )
    and exists (
        select from pg_rewrite as w
        where w.rulename = '_RETURN' and concat_ws(' ', w.ev_class, w.xmin) = r.view
    )
    and r.entries = coalesce(e.entries, '')
    and not exists (select from {SCHEMA}.written as w where w.number::oid = any(r.numbers))
    as untouched
from known as r left join entered as e on e.table_name = r.table_name"""


# All tables, by table_name: whether they are untouched.
SEEN = _seen("", "true")
# Those of the keys: their version, and whether this role may read them.
VERSIONS = _seen(
    f"{version_sql('r.table_name')} as version,"
    " has_table_privilege(cast(split_part(r.view, ' ', 1) as oid), 'select') as readable,",
    "table_name = any(%(keys)s)",
)

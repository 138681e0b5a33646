"""Views that others made over a promoted one: out of the way while it changes, and back again.

Belongs here: finding such views and making them again as they were.
Does not belong here: the views that readers get of us (``schema.py``).

PostgreSQL drops no view that another is made from, and dropping all of them would take away what
people built. So theirs are dropped and made again from their own text, in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from analytics_assets.core.telling import foreign

# A view may be reached by several ways; the longest says what has to be there before it.
_OVER = """
with recursive found (oid, depth) as (
    select to_regclass(:name), 0
    union
    select w.ev_class, found.depth + 1
    from found
    join pg_depend as d on d.refobjid = found.oid
    join pg_rewrite as w on w.oid = d.objid and w.ev_class <> found.oid
    where d.classid = cast('pg_rewrite' as regclass) and d.refclassid = cast('pg_class' as regclass)
)
select format('%I.%I', n.nspname, c.relname) as name, c.relkind = 'v' as is_view,
    c.relowner = cast(current_user as regrole) as is_ours, pg_get_userbyid(c.relowner) as owner,
    pg_get_viewdef(c.oid) as sql, obj_description(c.oid, 'pg_class') as comment,
    array(
        select format('%s to %s', a.privilege_type,
            case a.grantee when 0 then 'public' else format('%I', pg_get_userbyid(a.grantee)) end)
        from aclexplode(c.relacl) as a where a.grantee <> c.relowner
    ) as grants
from (select oid, max(depth) as depth from found where depth > 0 group by oid) as over_it
join pg_class as c on c.oid = over_it.oid
join pg_namespace as n on n.oid = c.relnamespace
order by over_it.depth, 1
"""


class DependentError(RuntimeError):
    """A view that others made stands in the way; says which, why and what to do."""


@dataclass(frozen=True)
class _View:
    name: str
    sql: str
    comment: str | None
    grants: tuple[str, ...]


def made_over(connection: sa.Connection, name: str) -> list[str]:
    """Views that are made from this one, near before far; materialised ones, too."""
    return [row.name for row in connection.execute(sa.text(_OVER), {"name": name})]


@contextmanager
def put_aside(connection: sa.Connection, name: str) -> Iterator[None]:
    """Drop the views over this one, and make them again when the block ends well.

    Raises ``DependentError`` where one belongs to somebody else or is materialised, or reads what
    is no more; the caller's transaction has to be rolled back then.
    """
    views = []
    for row in connection.execute(sa.text(_OVER), {"name": name}):
        if not row.is_view or not row.is_ours:
            what = f"belongs to {row.owner}" if row.is_view else "is no plain view"
            raise DependentError(
                f"{row.name} is made from it and {what}, so it cannot be made again. Drop it, try"
                " again, and make it anew"
            )
        views.append(_View(row.name, row.sql, row.comment, tuple(row.grants)))
    for view in reversed(views):
        _run(connection, f"drop view {view.name}")
    yield
    for view in views:
        _make(connection, view)


def _make(connection: sa.Connection, view: _View) -> None:
    try:
        with connection.begin_nested():
            _run(connection, f"create view {view.name} as {view.sql}")
    except sa.exc.ProgrammingError as error:
        reason = foreign(error)
        raise DependentError(
            f"{view.name} is made from it and does not fit it any more: {reason}. Drop it, try"
            " again, and make it anew"
        ) from error
    if view.comment is not None:
        quoted = view.comment.replace("'", "''")
        _run(connection, f"comment on view {view.name} is '{quoted}'")
    for grant in view.grants:
        privilege, _, grantee = grant.partition(" to ")
        _run(connection, f"grant {privilege} on {view.name} to {grantee}")


def _run(connection: sa.Connection, sql: str) -> None:
    connection.execute(sa.text(sql.replace(":", "\\:")))

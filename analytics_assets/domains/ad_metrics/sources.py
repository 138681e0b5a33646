"""The source of the events, and what people are told of it.

Belongs here: which events are not known. Does not belong here: what a file is called and holds
(``landing.py``), reading it.
"""

from __future__ import annotations

from collections.abc import Sequence

from analytics_assets.core.source import Landing
from analytics_assets.domains.ad_metrics.words import KNOWN_EVENTS
from analytics_assets.landing.sources import FileSource, Look, Part
from analytics_assets.warehouse.session import literal


class EventsSource(FileSource):
    """Mixpanel's raw event export, a line an event, by day (UTC)."""

    def report(self, landing: Landing, look: Look, parts: Sequence[Part], rows: str) -> None:
        """As of any feed, and which events the metrics do not know."""
        super().report(landing, look, parts, rows)
        known = ", ".join(map(literal, KNOWN_EVENTS))
        unknown = landing.session.execute(
            f"select event, count(*) from {rows} where event not in ({known})"
            " group by 1 order by 1 limit 50"
        ).fetchall()
        if unknown:
            landing.report["other events, kept and not counted"] = ", ".join(
                f"{name}: {count:,}" for name, count in unknown
            )

"""What the behavioural events bring to the platform."""

from analytics_assets.core.domain import SAMPLE_DATABASE, Domain, Setting
from analytics_assets.domains.behavior.monitoring import DEFINITIONS
from analytics_assets.domains.behavior.sources import prepare_sample
from analytics_assets.domains.behavior.tables import TABLES

DOMAIN = Domain(
    about="events of a PostgreSQL database, validated and exported by day, with interrupted time"
    " series and ABAB analyses",
    tables=TABLES,
    settings=(
        Setting(
            "BEHAVIOR_SOURCE_URL",
            SAMPLE_DATABASE,
            "operational database with `behavioral_events`; a secret",
        ),
        Setting(
            "BEHAVIOR_MATERIALIZED",
            "off",
            "1 keeps `behavior.behavioral_events` as an indexed table in `warehouse.duckdb`",
        ),
        Setting(
            "BEHAVIOR_PSEUDONYM_KEY",
            "generated",
            "key of the users' pseudonyms in production, at least 16 random characters; a secret."
            " After another one is set, materialise `behavior/user_pseudonym` anew",
        ),
    ),
    samples=(prepare_sample,),
    definitions=DEFINITIONS,
)

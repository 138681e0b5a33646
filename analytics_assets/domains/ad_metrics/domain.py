"""What the ad metrics bring to the platform."""

from functools import partial
from pathlib import Path

from analytics_assets.core.domain import SAMPLE, Domain, Setting
from analytics_assets.domains.ad_metrics.landing import META_ADS, MIXPANEL
from analytics_assets.domains.ad_metrics.sample import generate
from analytics_assets.domains.ad_metrics.tables import TABLES


def _mixpanel(folder: Path) -> None:
    generate(mixpanel=folder, meta_ads=None)


def _meta_ads(folder: Path) -> None:
    generate(mixpanel=None, meta_ads=folder)


DOMAIN = Domain(
    about="Mixpanel and Meta exports to daily metrics",
    tables=TABLES,
    settings=(
        Setting("MIXPANEL_SOURCE", SAMPLE, "landing folder of Mixpanel's exports"),
        Setting("META_ADS_SOURCE", SAMPLE, "landing folder of Meta's exports"),
        Setting(
            "MIXPANEL_EVENT_NAMES",
            "`RC Trial started` and so on, or RevenueCat's `rc_trial_started_event`",
            "other names of the events, as `Trial begun=RC Trial started`, by commas",
        ),
        Setting(
            "META_TRIAL_ACTIONS",
            "`start_trial_total`",
            "Meta's action types that count as trials, by commas; they are added up",
        ),
        Setting(
            "META_PURCHASE_ACTIONS",
            "`omni_purchase`",
            "Meta's action types that count as purchases, by commas; they are added up",
        ),
        Setting("AD_METRICS_PUBLISH_USER_IDS", "off", "1 promotes the user lists, too"),
    ),
    samples=(partial(MIXPANEL.prepare, _mixpanel), partial(META_ADS.prepare, _meta_ads)),
)

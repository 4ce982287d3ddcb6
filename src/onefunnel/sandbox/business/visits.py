"""How a person gets to the web site: where from, how the link is tagged, what the web log keeps of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from onefunnel.sandbox.business.log import Touch
from onefunnel.sandbox.world import SEARCH, SOCIAL, VIDEO, Campaign


class Way(NamedTuple):
    """A way to the site.

    Attributes:
        weight: how many of 100 visits come by it.
        platform, account: whose ad it was, if it was one.
        tag: how the link names the campaign (see `Touch.tag`).
    """

    name: str
    weight: int
    utm_source: str | None = None
    utm_medium: str | None = None
    click_id_kind: str | None = None
    referrer: str | None = None
    platform: str = ""
    account: int = 0
    tag: str = ""


WAYS = (
    Way("search_id", 12, "google", "cpc", "gclid", "www.google.com", SEARCH, 0, "id"),
    Way("search_name", 6, "bing", "cpc", "msclkid", "www.bing.com", SEARCH, 2, "name"),
    Way("search_pair", 4, "google", "cpc", "gclid", "www.google.com", SEARCH, 1),
    Way("search_click_id", 3, None, None, "gbraid", None, SEARCH, 1),
    Way("social_name", 8, "facebook", "paid_social", "fbclid", "l.facebook.com", SOCIAL, 0, "name"),
    Way("social_name_uk", 4, "linkedin", "paid_social", "li_fat_id", "www.linkedin.com", SOCIAL, 1, "name"),
    Way("social_old_name", 3, "facebook", "paid_social", None, None, SOCIAL, 0, "old_name"),
    Way("video_id", 5, "youtube", "video", None, "www.youtube.com", VIDEO, 0, "id"),
    Way("video_shared_name", 2, "youtube", "video", None, None, VIDEO, 1, "name"),
    Way("organic_search", 18, None, None, None, "www.google.com"),
    Way("organic_search_de", 5, None, None, None, "duckduckgo.com"),
    Way("organic_social", 5, "linkedin", "social", None, "www.linkedin.com"),
    Way("social_referrer", 2, None, None, None, "www.linkedin.com"),
    Way("newsletter_link", 4, "newsletter", "email"),
    Way("partner", 3, "partner", "referral", None, "portal.partner.example"),
    Way("blog", 3, None, None, None, "blog.industry.example"),
    Way("unknown_pair", 1, "podcast", "audio"),
    Way("direct", 12),
)
# The agreement's channel rules, as the simulation means them; what no rule knows is direct.
PAIRS = {
    ("google", "cpc"): "paid_search",
    ("bing", "cpc"): "paid_search",
    ("facebook", "paid_social"): "paid_social",
    ("linkedin", "paid_social"): "paid_social",
    ("youtube", "video"): "video",
    ("linkedin", "social"): "organic_social",
    ("newsletter", "email"): "email",
    ("partner", "referral"): "partner",
}
CLICK_IDS = {
    "gclid": "paid_search",
    "gbraid": "paid_search",
    "wbraid": "paid_search",
    "msclkid": "paid_search",
    "fbclid": "paid_social",
    "li_fat_id": "paid_social",
}
REFERRERS = {
    "www.google.com": "organic_search",
    "www.bing.com": "organic_search",
    "duckduckgo.com": "organic_search",
    "www.linkedin.com": "organic_social",
    "l.facebook.com": "organic_social",
    "portal.partner.example": "partner",
    "blog.industry.example": "referral",
}
_PAGES = ("/", "/pricing", "/product/größe", "/blog/why;not", "/webinar", "/case-studies/“acme”", "/demo")
_WEIGHTS = tuple(way.weight for way in WAYS)


@dataclass(frozen=True)
class Ads:
    """The ad campaigns that can bring visits, by platform and account number."""

    campaigns: dict[tuple[str, int], Sequence[Campaign]]

    def visit(self, rng: random.Random, at_ms: int, touch_id: str, visitor_id: str, name: str = "") -> Touch:
        """One visit by the way with this name, or by any."""
        way = next(w for w in WAYS if w.name == name) if name else rng.choices(WAYS, _WEIGHTS)[0]
        campaign = rng.choice(self.campaigns[way.platform, way.account]) if way.platform else None
        lost_click_id = rng.randrange(10) == 0  # a redirect has stripped it
        return Touch(
            at_ms,
            "web",
            touch_id,
            "visit",
            visitor_id=visitor_id,
            utm_source=way.utm_source,
            utm_medium=way.utm_medium,
            campaign=campaign if way.tag else None,
            tag=way.tag,
            click_id_kind=None if lost_click_id else way.click_id_kind,
            referrer=way.referrer,
            landing_page=rng.choice(_PAGES),
        )

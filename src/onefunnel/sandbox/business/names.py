"""What an ad campaign was called when: links carry the name that it has had since the midnight before."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

from onefunnel.sandbox.business.log import Touch, midnight
from onefunnel.sandbox.simulation import Simulation
from onefunnel.sandbox.world import PLATFORMS, Campaign


@dataclass(frozen=True)
class Names:
    """The names of all campaigns as known on a day.

    A rename is in the files of its day, which are complete the next morning: links have the new name from the midnight
    after it.
    """

    simulation: Simulation
    day: int

    @cached_property
    def versions(self) -> dict[Campaign, list[tuple[int, str]]]:
        """Campaign -> (from which second, name), oldest first."""
        found = {
            c: [(0, c.first_name)]
            for p in PLATFORMS.values()
            if p.has_dimensions
            for a in range(len(p.accounts))
            for c in self.simulation.campaigns(p, a)
        }
        for rename in self.simulation.renames(self.day):
            found[rename.campaign].append((midnight(rename.delivered_on) + 86_400, rename.after))
        return found

    @cached_property
    def by_id(self) -> dict[str, Campaign]:
        """The campaigns by their platform's id."""
        return {c.campaign_id: c for c in self.versions}

    @cached_property
    def _bearers(self) -> dict[str, list[tuple[int, int, Campaign]]]:
        found: dict[str, list[tuple[int, int, Campaign]]] = defaultdict(list)
        for campaign, versions in self.versions.items():
            ends = [start for start, _ in versions[1:]] + [1 << 60]
            for (start, name), end in zip(versions, ends, strict=True):
                found[name].append((start, end, campaign))
        return found

    def at(self, campaign: Campaign, second: int) -> str:
        """The name of a campaign at a time."""
        return next(name for start, name in reversed(self.versions[campaign]) if start <= second)

    def called(self, name: str, second: int) -> list[Campaign]:
        """The campaigns that had a name at a time."""
        return [c for start, end, c in self._bearers.get(name, ()) if start <= second < end]

    def in_link(self, touch: Touch) -> str | None:
        """The utm_campaign of a touch's link."""
        if touch.campaign is None or touch.tag not in ("name", "old_name"):
            return None
        if touch.tag == "old_name":
            return touch.campaign.first_name
        return self.at(touch.campaign, touch.at_ms // 1_000)

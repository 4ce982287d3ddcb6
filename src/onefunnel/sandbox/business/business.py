"""The business as a whole: the log up to a day, told story by story, and what follows from the calendar alone."""

from __future__ import annotations

import datetime as dt
import threading
from dataclasses import dataclass, field

from onefunnel.sandbox.business.log import Log, midnight
from onefunnel.sandbox.business.scene import Scene
from onefunnel.sandbox.business.staff import Staff
from onefunnel.sandbox.business.stories import tell_day
from onefunnel.sandbox.business.visits import WAYS, Ads
from onefunnel.sandbox.simulation import COMPLETE_AT_HOUR, Simulation
from onefunnel.sandbox.world import PLATFORMS


@dataclass
class Business:
    """A company's business by the simulation of its advertising: same seed, scale and first day, same business.

    A story depends on the day on which it begins and on those before it, never on how many days day 1 delivers. Servers of
    several vendors tell of one business, each in a thread of its own: a day is told once, whoever asks first, and what somebody
    reads does not change while the next day is told.
    """

    simulation: Simulation
    _told: dt.date | None = field(default=None, init=False, repr=False)
    _scene: Scene | None = field(default=None, init=False, repr=False)
    _seen: Log | None = field(default=None, init=False, repr=False)
    _telling: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False, compare=False)

    @property
    def scene(self) -> Scene:
        """What the stories share."""
        with self._telling:
            if self._scene is None:
                sources = {(way.platform, way.account) for way in WAYS if way.platform}
                ads = Ads({(p, a): self.simulation.campaigns(PLATFORMS[p], a) for p, a in sorted(sources)})
                first_day = self.simulation.first_day
                self._scene = Scene(Log(self.simulation.seed), Staff(first_day), ads, first_day)
            return self._scene

    def log(self, number: int) -> Log:
        """The log with at least every story that has begun by day `number`; read it up to `until(number)`."""
        last = self.simulation.date_of(number)
        with self._telling:
            scene = self.scene
            day = scene.first_day if self._told is None else self._told + dt.timedelta(days=1)
            if self._seen is None or day <= last:
                while day <= last:
                    tell_day(scene, self.simulation.seed, round(self.simulation.scale * 100), day)
                    day += dt.timedelta(days=1)
                    self._told = day - dt.timedelta(days=1)
                scene.log.settle()
                self._seen = scene.log.copy()
            return self._seen

    def since(self, number: int) -> int:
        """The first second that the files of a day speak of: day 1 has no beginning."""
        return 0 if number == 1 else midnight(self.simulation.date_of(number))

    def until(self, number: int) -> int:
        """The first second after a day."""
        return midnight(self.simulation.date_of(number) + dt.timedelta(days=1))

    def as_of(self, number: int) -> int:
        """The second at which the files of a day are complete."""
        return self.until(number) + COMPLETE_AT_HOUR * 3_600

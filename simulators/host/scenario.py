"""Scenarios: what a host is like on a bad day, by name, laid over a configuration (`--scenario NAME`).

A scenario's behaviour settings replace those of the configuration one by one; its fault rules replace the
configuration's rules as a whole, so that a scenario is what its file says. Several are laid over each other: the
later behaviour wins, their rules stand one after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import Field, model_validator

from posd.errors import ConfigError
from posd.yamlmarks import did_you_mean, load_model
from simulators.host.faults import Rule
from simulators.host.settings import Behaviour, HostSettings, Model, NacBehaviour, without_meaning

FOLDER = Path(__file__).parents[1] / "scenarios"
SUFFIX = ".yaml"


class ScenarioFile(Model):
    """One file: what it is about, in English and Chinese, and what it changes. `profile`: the only one it is for."""

    about: str = Field(min_length=1, max_length=200)
    about_zh: str = Field(min_length=1, max_length=200)
    profile: Literal["unionpay", "nac"] | None = None
    behaviour: Behaviour = Behaviour()
    nac: NacBehaviour = NacBehaviour()
    faults: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def _one_line(self) -> Self:
        if not (self.about.isprintable() and self.about_zh.isprintable()):
            raise ValueError("about and about_zh are one line each")
        return self


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario by its name."""

    name: str
    file: ScenarioFile


def scenarios(folder: Path = FOLDER) -> list[Scenario]:
    """All that are shipped, by name."""
    return [Scenario(path.stem, load_model(path, ScenarioFile)) for path in sorted(folder.glob(f"*{SUFFIX}"))]


def find(name: str, folder: Path = FOLDER) -> Scenario:
    """A shipped scenario by its name, or one of yours by the path of its file. ConfigError otherwise."""
    if name.endswith(SUFFIX) or "/" in name:
        return Scenario(Path(name).stem, load_model(Path(name), ScenarioFile))
    known = sorted(path.stem for path in folder.glob(f"*{SUFFIX}"))
    if name not in known:
        near = did_you_mean(name, known) or "give a name of --list-scenarios or the path of a .yaml file"
        raise ConfigError(f"--scenario: there is no {name!a}; {near}")
    return Scenario(name, load_model(folder / f"{name}{SUFFIX}", ScenarioFile))


def laid_over(settings: HostSettings, chosen: Sequence[Scenario]) -> HostSettings:
    """The settings with scenarios on top, in this order; without any, the settings as they are.

    ConfigError for a scenario of another profile.
    """
    if not chosen:
        return settings
    for one in chosen:
        if one.file.profile not in (None, settings.profile):
            raise ConfigError(f"--scenario: {one.name} is for profile: {one.file.profile}, not {settings.profile}")
        wrong = without_meaning(one.file.behaviour, (), one.file.faults) if settings.profile == "nac" else None
        if wrong is not None:
            raise ConfigError(f"--scenario: {one.name}: {wrong} has no meaning with profile: nac")
    behaviour = _over(settings.behaviour, [one.file.behaviour for one in chosen])
    nac = _over(settings.nac, [one.file.nac for one in chosen])
    rules = tuple(rule for one in chosen for rule in one.file.faults)
    return settings.model_copy(update={"behaviour": behaviour, "nac": nac, "faults": rules})


_Settings = TypeVar("_Settings", bound=Model)


def _over(base: _Settings, given: Sequence[_Settings]) -> _Settings:
    """What each of `given` sets, over `base`."""
    for one in given:
        base = base.model_copy(update={name: getattr(one, name) for name in one.model_fields_set})
    return base


def listing() -> str:
    """Name and purpose of every shipped scenario, aligned, in both languages."""
    rows = scenarios()
    width = max(len(row.name) for row in rows)
    lines = [(f"{row.name:<{width}}  {row.file.about}", f"{'':<{width}}  {row.file.about_zh}") for row in rows]
    return "\n".join(line for pair in lines for line in pair)

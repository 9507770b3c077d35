"""Twins by name, and what each of them assumes."""

import dataclasses
from collections.abc import Mapping

from lsaprobe_jax.errors import ArgumentError, SettingError
from lsaprobe_jax.text import printable
from lsaprobe_jax.twins.changes import Mirror, Resung, Twin


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
  """What is known of a twin before any model is looked at.

  Attributes:
    twin: the twin.
    assumes: what must hold for the twin to be as hard as the clip, in a few words.
    prefers: whether models may prefer the clip to such a twin, trained on or not, or
      the twin to the clip: they do in results/twins/level.md, and of a twin that has
      not been measured nothing else is known. Then no p-value comes from it without
      reference music.
  """

  twin: Twin
  assumes: str
  prefers: bool


_MUSIC = "music is as likely with either sign of its pressure"
_PHASE = "music is as likely with its phases turned by a constant"
_TIME = "music is as likely backwards as forwards"
_ADDED: dict[str, Kind] = {}
_OWN: Mapping[str, Kind] = {
  "polarity": Kind(twin=Mirror.by_degrees(180), assumes=_MUSIC, prefers=False),
  "phase_90": Kind(twin=Mirror.by_degrees(90), assumes=_PHASE, prefers=True),
  "phase_270": Kind(twin=Mirror.by_degrees(270), assumes=_PHASE, prefers=True),
  "reversal": Kind(twin=Mirror(reverse=True), assumes=_TIME, prefers=True),
  "reversal_polarity": Kind(
    twin=Mirror.by_degrees(180, reverse=True), assumes=_TIME, prefers=True
  ),
  # Orchestras sit with their violins on the left, and kits are panned by custom.
  "channel_swap": Kind(
    twin=Mirror(swap=True),
    assumes="music is as likely with its channels swapped",
    prefers=True,
  ),
  **{
    name: Kind(
      twin=twin,
      assumes="a phase vocoder leaves nothing that a model finds hard",
      prefers=True,
    )
    for name, twin in (
      ("half_semitone_up", Resung(semitones=0.5)),
      ("half_semitone_down", Resung(semitones=-0.5)),
      ("slower_3", Resung(rate=0.97)),
    )
  },
}


def names() -> tuple[str, ...]:
  """Returns the names of the twins."""
  return (*_OWN, *_ADDED)


def kind(name: str) -> Kind:
  """Returns what is known of a twin.

  Raises:
    SettingError: there is no such twin.
  """
  known = {**_OWN, **_ADDED}
  if name not in known:
    raise SettingError(f"twins.names={printable(name)}: known: {', '.join(known)}")
  return known[name]


def get(name: str) -> Twin:
  """Returns a twin by its name; see `kind` for the errors."""
  return kind(name).twin


def register(name: str, twin: Kind) -> None:
  """Gives a twin from outside a name, for this process.

  Raises:
    ArgumentError: the name is one of the library's own, or no identifier: rows have
      names with commas between them.
  """
  if not name.isidentifier():
    raise ArgumentError(f"name={printable(name)}: letters, digits and underscores")
  if name in _OWN:
    raise ArgumentError(
      f"name={printable(name)} is one of the library's own; choose another"
    )
  _ADDED[name] = twin

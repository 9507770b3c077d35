"""What the builders of corpora share: a track to take, and its entry in a manifest."""

import dataclasses
import importlib.metadata
from collections.abc import Iterable

import soundfile

from lsaprobe_jax.data import manifest


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
  """A track that is to be taken, as its package or its data set lists it.

  Attributes:
    track: id, safe as a file name.
    path: path inside the package, or below the folder of the data set.
    title: untrusted text, like `author`.
    author: composer, performer or arranger.
    licence: as the source names it.
  """

  track: str
  path: str
  title: str
  author: str
  licence: str


def entry(
  source: Source,
  *,
  package: str,
  duplicates: str,
  group: str,
  file: str,
  sha256: str,
  segments: Iterable[manifest.Segment],
  changes: str,
) -> manifest.Track:
  """Makes the entry of a track that was written; see `manifest.Track`."""
  return manifest.Track(
    id=source.track,
    title=source.title,
    author=source.author,
    package=package,
    path=source.path,
    licence=source.licence,
    duplicates=duplicates,
    group=group,
    file=file,
    sha256=sha256,
    segments=tuple(segments),
    changes=changes,
  )


def versions(*distributions: str) -> dict[str, str]:
  """Returns the versions of some distributions, and of libsndfile, by name."""
  found = {name: importlib.metadata.version(name) for name in distributions}
  return {**found, "libsndfile": soundfile.__libsndfile_version__}

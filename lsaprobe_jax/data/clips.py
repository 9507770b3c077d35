"""Clips of equal length with stable ids, in groups by track, and their audio.

The groups are the halves 'a' and 'b' of the cross-over, 'dev' (development, unseen
by every model) and 'reference' (what the reference model is trained on). Who is a
member follows from the model that is audited.
"""

import collections
import dataclasses
import hashlib
from collections.abc import Iterable

import numpy as np

from lsaprobe_jax.data.manifest import GROUPS
from lsaprobe_jax.data.records import RecordAudio


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clip:
  """Where a clip comes from.

  Attributes:
    id: '<track>@<start in ms>+<length in ms>', unique and safe as a file name.
    track: id of the recording or piece; clips of a track are not independent.
    group: 'a', 'b', 'dev' or 'reference'.
    source: package, or file.
    title: untrusted text, like `author`.
    author: composer, performer, arranger; '' if not known.
    licence: '' if not known.
    start_seconds: in the source.
    sha256: of the float32 little-endian samples.
  """

  id: str
  track: str
  group: str
  source: str
  title: str
  author: str
  licence: str
  start_seconds: float
  sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Corpus:
  """Clips and their audio.

  Attributes:
    name: of the corpus.
    sample_rate: Hz.
    clip_seconds: length of every clip.
    clips: by track, and within a track so that its first few are spread over it.
    audio: float32 [n_clips, samples], in the order of `clips`; of a corpus of records
      one that reads a row when it is indexed.
    errors: (file or clip, one-line message) for what could not be used.
  """

  name: str
  sample_rate: int
  clip_seconds: float
  clips: tuple[Clip, ...]
  audio: np.ndarray | RecordAudio
  errors: tuple[tuple[str, str], ...] = ()

  def __len__(self) -> int:
    return len(self.clips)

  @property
  def tracks(self) -> tuple[str, ...]:
    """Track ids in order, each once."""
    return tuple(dict.fromkeys(clip.track for clip in self.clips))

  def select(self, groups: Iterable[str]) -> "Corpus":
    """The clips of some groups, or of one named by a plain string."""
    wanted = check_groups(groups)
    return self.take(i for i, clip in enumerate(self.clips) if clip.group in wanted)

  def per_track(self, count: int) -> "Corpus":
    """The first `count` clips of every track."""
    seen, kept = collections.Counter(), []
    for i, clip in enumerate(self.clips):
      seen[clip.track] += 1
      if seen[clip.track] <= count:
        kept.append(i)
    return self.take(kept)

  def head(self, seconds: float) -> "Corpus":
    """The first seconds of every clip, under the clips' own ids and hashes.

    Raises:
      ValueError: longer than the clips, or shorter than a sample.
    """
    most = self.audio.shape[1]
    length = round(min(seconds * self.sample_rate, most + 1))
    if not 0 < length <= most:
      raise ValueError(f"no first {seconds:g} s of clips of {self.clip_seconds:g} s")
    if isinstance(self.audio, RecordAudio):
      audio = self.audio.head(length)
    else:
      audio = self.audio[:, :length]
    return dataclasses.replace(self, clip_seconds=seconds, audio=audio)

  def fingerprint(self) -> str:
    """SHA-256 over ids, groups and clip hashes: equal if and only if the data is."""
    digest = hashlib.sha256()
    for clip in self.clips:
      digest.update(f"{clip.id}\n{clip.group}\n{clip.sha256}\n".encode())
    return digest.hexdigest()

  def take(self, indices: Iterable[int]) -> "Corpus":
    """The clips at some indices, in their order."""
    indices = list(indices)
    return dataclasses.replace(
      self,
      clips=tuple(self.clips[i] for i in indices),
      audio=self.audio.take(np.asarray(indices, dtype=np.intp), axis=0),
    )


def check_groups(groups: Iterable[str] | str) -> tuple[str, ...]:
  """Group names as a tuple.

  Raises:
    ValueError: one is not a group.
  """
  groups = (groups,) if isinstance(groups, str) else tuple(groups)
  unknown = [group for group in groups if group not in GROUPS]
  if unknown or not groups:
    raise ValueError(f"groups are among {GROUPS}, not {unknown or 'none'}")
  return groups

"""The reference of an audit: how many tracks it needs, and how it is split.

The reference is split by track. Its *development* tracks calibrate tau and set the
scale on which methods are put together, and cutoffs; its *comparison* tracks are what
the suspects are compared with. The development tracks are used for nothing else, so
that without training the suspects' scores and the comparison tracks' scores could be
exchanged.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from lsaprobe_jax.errors import LsaProbeError

# Standard deviations of fewer tracks put methods together badly.
MIN_DEVELOPMENT_TRACKS = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReferenceSize:
  """Tracks that a reference needs on either side of its split.

  Attributes:
    development: tracks to calibrate tau on, and to set scales and cutoffs with.
    comparison: tracks to compare the suspects with.
  """

  development: int
  comparison: int

  @property
  def total(self) -> int:
    """Tracks of the smallest reference that allows a verdict."""
    return self.development + self.comparison


def smallest_reference(
  *, alpha: float, clips_per_track: int, clips_for_tau: int
) -> ReferenceSize:
  """Finds the smallest reference with which a verdict at `alpha` is possible.

  Args:
    alpha: level of the verdict, in (0, 1). With n comparison tracks no p-value is
      below 1 / (n + 1).
    clips_per_track: clips of each track.
    clips_for_tau: development clips that tau needs.
  """
  return ReferenceSize(
    development=max(MIN_DEVELOPMENT_TRACKS, -(-clips_for_tau // clips_per_track)),
    # Less a rounding error: 1 / 0.05 is 20 tracks with the suspect, not 21.
    comparison=math.ceil(1 / alpha - 1e-9) - 1,
  )


def split_reference(
  tracks: Sequence[str], size: ReferenceSize, *, seed: int
) -> tuple[list[str], list[str]]:
  """Deals tracks at random, half to each side of the split.

  The comparison side of a small reference gets no less than it needs, as far as the
  development side keeps what that needs.

  Args:
    tracks: names; a name that is there twice counts once.
    size: what each side needs.
    seed: of the deal.

  Returns:
    (development tracks, comparison tracks), each in the order of their names.

  Raises:
    LsaProbeError: there are fewer tracks than `size.total`.
  """
  count = len(set(tracks))
  if count < size.total:
    raise LsaProbeError(f"{count} reference tracks where {size.total} are needed")
  half = min(count - count // 2, count - size.development)
  comparison = max(size.comparison, half)
  order = np.random.default_rng(seed).permutation(sorted(set(tracks))).tolist()
  return sorted(order[comparison:]), sorted(order[:comparison])

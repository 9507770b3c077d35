"""What an audit finds: one typed record for each thing that its page says."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from lsaprobe_jax.metrics import intervals, sets

# What a test compares the suspects with: other tracks, or other versions of themselves.
REFERENCE, VERSIONS = "reference", "versions"
# What an audit is given beside model and suspects: reference tracks, nothing, or
# versions that were held back.
BY_REFERENCE, ALONE, CANARY = "reference", "alone", "canary"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Power:
  """What a test of this size can find, by the very test that is used.

  Attributes:
    detectable: difference in standard deviations that is found with 80% power; None
      where no difference is.
    detectable_auc: AUC between normal scores so far apart; None of a test of versions.
    at_estimate: power if the true effect were the estimated one. It restates the
      p-value, and says nothing new. None for a single suspect.
    tracks_needed: suspects for 80% power at 1% and the estimated effect; None for no
      number.
    tracks_needed_ci: the same at both ends of the effect's 95% interval.
  """

  detectable: float | None
  detectable_auc: float | None
  at_estimate: float | None = None
  tracks_needed: float | None = None
  tracks_needed_ci: tuple[float | None, float | None] = (None, None)


class MethodVersions(NamedTuple):
  """Suspects as given against their own other versions, by one method.

  Attributes:
    tracks: number of suspects.
    blocks: how many albums and single tracks these are.
    difference: mean score as given less the mean of the other versions.
    effect: the same in standard deviations of the blocks' differences
      (`versions.VersionTest`).
    ci: interval of the difference.
    p_value: see `versions.p_value`.
    p_holm: the same, corrected for the number of methods.
  """

  tracks: int
  blocks: int
  difference: float
  effect: float
  ci: intervals.Interval
  p_value: float
  p_holm: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class SuspectsTest:
  """A test of all suspects together.

  Attributes:
    name: short, as the page shows it.
    p_value: of the panel, by permutation of tracks (`permutation.p_values`) or by
      exchange of versions (`versions.p_value`).
    lowest: the smallest p-value that this test could have given.
    albums_exchanged: whether whole albums, or tracks within one, were exchanged.
    by_album: see `statistics.Contrast`.
    sets: the test by method; None for a single suspect, who is no set. `p_holm`
      corrects over methods other than the panel.
    power: what a test of this size can find.
    kind: `reference` compares the suspects with other tracks, `versions` with other
      versions of themselves.
    assumes: what must hold without training for the p-value to be one, in words.
    unmoved: suspects that no other track could have been, and that count for nothing.
  """

  name: str
  p_value: float
  lowest: float
  albums_exchanged: bool
  by_album: bool
  sets: Mapping[str, sets.SetTest | MethodVersions | None]
  power: Power
  kind: str = REFERENCE
  assumes: str = ""
  unmoved: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrackFinding:
  """What is found of one suspect.

  Attributes:
    track: its name.
    score: by method.
    p: p-value by method: conformal where there are reference tracks, else by exchange
      of the versions of its clips (`versions.compare_clips`).
    q: the panel's p-value, corrected by Benjamini and Hochberg.
    flagged: whether the panel's p-value is at most alpha.
  """

  track: str
  score: Mapping[str, float]
  p: Mapping[str, float]
  q: float
  flagged: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cutoff:
  """The (1 - alpha) quantile of the development tracks under one method.

  Attributes:
    cutoff: None where it does not exist.
    above: comparison tracks that lie above it.
    of: comparison tracks.
  """

  cutoff: float | None
  above: int | None
  of: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Findings:
  """Everything that follows from the scores of an audit.

  Attributes:
    alpha: level of the verdicts.
    evidence: whether the p-value is at most alpha.
    p_value: of the first test, which decides.
    tests: of all suspects together, the one that decides first.
    tracks: the suspects, in the order of their names.
    flagged: how many suspects are flagged.
    expected_flags: how many would be by chance.
    cutoffs: by method; none without reference tracks.
    lowest_track: the smallest p-value that a single suspect could have had.
    mode: what the audit was given: `reference` tracks, suspects `alone`, or versions
      that were held back (`canary`).
    drawn: whether it was drawn at random which versions were published.
    null: rejections between random halves of the comparison tracks; None where these
      are too few to be halved, or nobody counted.
  """

  alpha: float
  evidence: bool
  p_value: float
  tests: tuple[SuspectsTest, ...]
  tracks: tuple[TrackFinding, ...]
  flagged: int
  expected_flags: float
  cutoffs: Mapping[str, Cutoff]
  lowest_track: float | None = None
  mode: str = BY_REFERENCE
  drawn: bool = False
  null: sets.NullRejections | None = None


def to_plain(value: Any) -> Any:
  """Turns records, nested in any way, into dicts and lists as JSON has them."""
  if dataclasses.is_dataclass(value):
    names = (field.name for field in dataclasses.fields(value))
    return {name: to_plain(getattr(value, name)) for name in names}
  if hasattr(value, "_asdict"):
    return to_plain(value._asdict())
  if isinstance(value, Mapping):
    return {key: to_plain(item) for key, item in value.items()}
  if isinstance(value, list | tuple):
    return [to_plain(item) for item in value]
  return value

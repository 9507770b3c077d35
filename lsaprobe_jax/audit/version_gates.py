"""Gates of tests of versions: enough tracks, other recordings, a centred null."""

import math
from collections.abc import Mapping, Sequence

from lsaprobe_jax.audit.findings import CANARY
from lsaprobe_jax.audit.gates import Gate
from lsaprobe_jax.audit.track_scores import PANEL
from lsaprobe_jax.audit.version_scores import VersionScores
from lsaprobe_jax.data import inspection
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.errors import LsaProbeError
from lsaprobe_jax.metrics import equivalence, versions
from lsaprobe_jax.models.trained import TrainedModel

CENTRED = "unseen music is centred"
# What counts as a small lean of unseen music, in standard deviations of its albums.
MARGIN = 0.5
# What only reference tracks can show.
_OF_REFERENCE = (
  "size of the reference",
  "no recording on both sides",
  "reference not in the model's own record",
  "blind baseline",
  "null control",
)


def not_run(mode: str) -> list[Gate]:
  """The gates that need reference tracks, in a mode without any."""
  held_back = mode == CANARY
  why = {
    "blind baseline": "every track is compared with other versions of itself, so that"
    " no other music can sound unlike it",
    CENTRED: "whether a model that saw neither prefers the published versions can be"
    " known from the draw alone"
    if held_back
    else "whether unseen music scores as its twins do was taken for granted",
  }
  return [
    Gate(
      name=name,
      holds=None,
      text=f"not run: {why.get(name, 'no reference tracks were given')}",
    )
    for name in (*_OF_REFERENCE, CENTRED)
  ]


def enough_tracks(
  tracks: Sequence[str],
  albums: Mapping[str, str] | None,
  *,
  count: int,
  mode: str,
  alpha: float,
  permutations: int,
  two_sided: bool,
  drawn: bool = False,
) -> list[Gate]:
  """Asks whether the suspects are enough for a verdict, and says what albums are known.

  Args:
    tracks: the suspects.
    albums: by track; None where tracks are taken for independent.
    count: versions of a track, the one given among them.
    mode: see `Findings`.
    alpha: level of the verdict.
    permutations: at most so many ways to choose versions.
    two_sided: see `versions.p_value`.
    drawn: whether the version of each track that was published was drawn by itself.
  """
  of = (lambda track: None) if albums is None else albums.get
  number = versions.block_numbers([of(track) for track in tracks])
  blocks = len(set(number.tolist()))
  lowest = versions.lowest(blocks, count, permutations, two_sided) if blocks else 1.0
  text = (
    f"{len(tracks)} suspects in {blocks} albums or single tracks, each in {count}"
    f" versions; no p-value can be below {lowest:.2g}"
  )
  # As many as reach alpha, all ways being counted.
  sides = 2 if two_sided and count == 2 else 1
  needed = math.ceil(math.log(sides / alpha, count) - 1e-9)
  other = "" if mode == CANARY else ", or reference tracks"
  holds = lowest <= alpha
  size = Gate(
    name="size of the suspects",
    holds=holds,
    text=text,
    mend=""
    if holds
    else f"give {max(needed - blocks, 1)} more tracks"
    if drawn
    else f"give {max(needed - blocks, 1)} more tracks of other albums{other}; or take"
    " tracks for independent with albums=tracks, which the verdict will say",
  )
  if drawn:
    text = "not asked about, as the version of each track was drawn by itself"
    return [size, Gate(name="albums", holds=None, text=text)]
  if albums is None:
    text = (
      "tracks are taken for independent: no album is known, or albums=tracks was given."
      " Likeness to tracks of one album that were trained on would look like training"
    )
    return [size, Gate(name="albums", holds=None, text=text)]
  known = sum(track in albums for track in tracks)
  text = f"the album of {known} of {len(tracks)} suspects is known"
  if known < len(tracks):
    text += ". Tracks of no known album are taken for independent"
  return [size, Gate(name="albums", holds=True, text=text)]


def some_twin(names: Sequence[str]) -> Gate:
  """Asks whether there is a twin whose test needs no reference tracks."""
  if names:
    return Gate(name="twins", holds=True, text=f"scored beside: {', '.join(names)}")
  return Gate(
    name="twins",
    holds=False,
    text="no twin can both carry signal under this model and be read without reference"
    " tracks (see the notes)",
    mend="give reference tracks, with which twins that models may prefer can be used",
  )


def other_recordings(facts: Mapping[str, Sequence[inspection.Facts]]) -> Gate:
  """Asks whether no two versions have the same samples.

  Copies among those that were held back would count as draws that there were not: of
  one published version and three copies of another each would be one in four.
  """
  name = "versions differ"
  named: dict[str, list[str]] = {}
  for fact in (fact for own in facts.values() for fact in own):
    named.setdefault(fact.sha256, []).append(fact.track)
  same = [" and ".join(tracks) for tracks in named.values() if len(tracks) > 1]
  if not same:
    text = "no version has the samples of another"
    return Gate(name=name, holds=True, text=text)
  return Gate(
    name=name,
    holds=False,
    text=f"{len(same)} have the same samples: {'; '.join(same)}",
    mend="what was published was not held back, and a copy is no other version: take"
    " those out on both sides",
  )


def not_trained_on(model: TrainedModel, held_back: Sequence[Corpus]) -> Gate:
  """Asks whether the model's own record has the samples of no version held back."""
  name = "held-back versions not in the model's own record"
  if not model.members:
    text = "the folder of the model does not say what it was trained on"
    return Gate(name=name, holds=None, text=text)
  samples = set(model.members.values())
  seen = {c.track for corpus in held_back for c in corpus.clips if c.sha256 in samples}
  text = f"{len(seen)} are recorded as trained on, by their samples"
  if not seen:
    return Gate(name=name, holds=True, text=text)
  return Gate(
    name=name,
    holds=False,
    text=f"{text}: {', '.join(sorted(seen))}",
    mend="a version that was trained on was not held back: take it out on both sides",
  )


def scored(tracks: Sequence[str], failed: Sequence[str]) -> str:
  """How many suspects have scores, in words."""
  left_out = f"; {len(failed)} clips failed" if failed else ""
  return f"{len(tracks)} suspects have a score under every method{left_out}"


def centred(
  scores: VersionScores, albums: Mapping[str, str] | None, names: Sequence[str]
) -> Gate:
  """Asks whether tracks that the model has not seen score as their twins do.

  It never fails: the test that decides is centred by these very tracks.

  Args:
    scores: of reference tracks and their twins, without the panel.
    albums: by track; None where tracks are taken for independent.
    names: the twins.
  """
  if not names:
    text = "not run: no twin is scored whose test needs no reference tracks"
    return Gate(name=CENTRED, holds=None, text=text)
  try:
    found = _equivalence(scores, albums)
  except (LsaProbeError, ValueError) as error:
    return Gate(name=CENTRED, holds=None, text=f"not run: {error}")
  low, high = found.ci
  text = (
    f"{found.blocks} albums or single tracks of reference music score"
    f" {found.effect:+.2f} sd [{low:+.2f}, {high:+.2f}] above their twins"
    f" ({', '.join(names)})"
  )
  if found.lean_shown:
    side = "above" if found.effect > 0 else "below"
    text += (
      f": unseen music leans, and scores {side} its twins. The p-value of the suspects"
      " alone must not be believed; those with reference tracks are centred by them"
    )
  elif found.shown:
    text += f", and a mean beyond {MARGIN:g} sd either way is ruled out"
  else:
    text += (
      f"; that the mean lies within {MARGIN:g} sd is not shown, which takes about"
      f" {found.blocks_needed} albums or single tracks"
    )
  holds = True if found.shown and not found.lean_shown else None
  return Gate(name=CENTRED, holds=holds, text=text)


def leans(gate: Gate) -> bool:
  """Whether a gate says that unseen music leans."""
  return "must not be believed" in gate.text


def _equivalence(
  scores: VersionScores, albums: Mapping[str, str] | None
) -> equivalence.Equivalence:
  own = scores.with_panel().track_versions(PANEL, albums)
  return equivalence.equivalence(own.differences, own.blocks, margin=MARGIN)

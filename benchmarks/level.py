"""Statistics and tables of `twin_level`: records of readings, strata and models."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from lsaprobe_jax.metrics import tables, versions
from lsaprobe_jax.metrics.pivot import groups
from lsaprobe_jax.rows import Row
from lsaprobe_jax.twins.suitability import LEAST_ENCODER

MODELS = (
  *(f"diffwave-multigenre-{group}" for group in ("a", "b", "reference")),
  *(f"diffwave-piano-{group}" for group in ("a", "b", "reference")),
  "musicldm-multigenre-a",
  "musicldm-piano-a",
)
TWINS = {
  "diffwave": ("polarity", "phase_90", "phase_270", "reversal", "reversal_polarity"),
  "musicldm": ("reversal", "half_semitone_up", "half_semitone_down", "slower_3"),
}
# By family: of latent models Loss alone, as the others run the vocoder each time.
METHODS = {
  "diffwave": ("loss", "rediffuse"),
  "musicldm": ("loss",),
}
STRATA = ("strangers", "album-mates", "trained")

TRACKS, AUDITS, ALPHA = 10, 200, 0.05
_SEED, _WAYS, _NULLS = 0, 1024, 100
# What counts as keeping the level, fixed before any row was read: over all models, the
# mean share of rejections, and the share of models whose whole stratum is rejected.
MOST_SHARE, MOST_MODELS = 0.075, 1 / 6


class Reading(NamedTuple):
  """A way to read twins: their names, and whether on both sides."""

  family: str
  names: tuple[str, ...]
  two_sided: bool = False

  def __str__(self) -> str:
    """The name in tables."""
    return self.plain + (" (MusicLDM)" if self.family == "musicldm" else "")

  @property
  def plain(self) -> str:
    """The name without the family."""
    return " + ".join(self.names) + (", two-sided" if self.two_sided else "")


READINGS = (
  *(Reading("diffwave", (name,)) for name in TWINS["diffwave"]),
  Reading("diffwave", ("polarity",), two_sided=True),
  Reading("diffwave", ("phase_90", "phase_270")),
  Reading("diffwave", ("polarity", "phase_90", "phase_270")),
  *(Reading("musicldm", (name,)) for name in TWINS["musicldm"]),
  Reading("musicldm", ("half_semitone_up", "half_semitone_down")),
)


def tracks_of(rows: Sequence[Row], names: Sequence[str]) -> versions.TrackVersions:
  """Tracks in their versions, by logarithms, each the mean of its clips."""
  scores, blocks = [], []
  for own in groups(rows, "track").values():
    column = {name: i for i, name in enumerate(own[0]["twins"].split(","))}
    versions_of = [
      [row["score"], *(row["twin_scores"][column[name]] for name in names)]
      for row in own
    ]
    scores.append(-np.log(-np.array(versions_of)).mean(axis=0))
    blocks.append(own[0]["album"])
  return versions.TrackVersions(scores=np.array(scores), blocks=blocks)


def deal(block: np.ndarray, by_album: bool, seed: int = _SEED) -> np.ndarray:
  """[audits, tracks] tracks at random; by album, one album is used up after another."""
  rng = np.random.default_rng(seed)
  order = rng.random((AUDITS, block.size))
  if by_album:
    rank = rng.random((AUDITS, block.max() + 1)).argsort(axis=1)
    order += rank[:, block]
  return order.argsort(axis=1)[:, :TRACKS]


@functools.cache
def _choices(count: int) -> np.ndarray:
  """[tracks * versions, ways] 1 where a way calls this version of a track the given."""
  chosen, _ = versions.ways_to_choose(TRACKS, count, _WAYS, _SEED)
  taken = chosen[:, None] == np.arange(count)[:, None]
  return taken.reshape(TRACKS * count, -1).astype(float)


def rejections(by_version: np.ndarray, dealt: np.ndarray, two_sided: bool) -> int:
  """Audits with p at most ALPHA, as `versions.p_value` without albums has it."""
  count = by_version.shape[1]
  taken = _choices(count)
  drawn = by_version[dealt].reshape(len(dealt), -1) @ taken
  observed = by_version[dealt][:, :, :1].sum(axis=1)
  if two_sided:
    drawn, observed = np.abs(drawn), np.abs(observed)
  least = observed - 1e-9 * np.abs(by_version).max()
  exact = int(count**TRACKS > _WAYS)
  p = ((drawn >= least).sum(axis=1) + exact) / (taken.shape[1] + exact)
  return int((p <= ALPHA).sum())


def null_band(
  by_version: np.ndarray, dealt: np.ndarray, two_sided: bool
) -> tuple[float, float]:
  """Range of 95% of the share if each track's versions were exchangeable.

  The audits are dealt from one pool of tracks, which leans a little by chance, so that
  their share of rejections varies by more than a binomial.
  """
  rng, rows = np.random.default_rng(_SEED), np.arange(len(by_version))
  shares = []
  for _ in range(_NULLS):
    given, changed = (
      rng.integers(by_version.shape[1], size=rows.size),
      by_version.copy(),
    )
    changed[rows, 0], changed[rows, given] = by_version[rows, given], by_version[:, 0]
    shares.append(rejections(changed, dealt, two_sided) / len(dealt))
  return tuple(np.quantile(shares, [0.025, 0.975]))


def with_albums(
  tracks: versions.TrackVersions, dealt: np.ndarray, two_sided: bool
) -> int:
  """Audits with p at most ALPHA where albums are blocks."""
  found = 0
  for index in dealt:
    audit = versions.TrackVersions(
      scores=tracks.scores[index], blocks=[tracks.blocks[i] for i in index]
    )
    p = versions.p_value(audit, permutations=_WAYS, seed=_SEED, two_sided=two_sided)
    found += p <= ALPHA
  return int(found)


def measure(rows: Sequence[Row], reading: Reading) -> dict[str, Any]:
  """A record of one model, method and stratum under one reading."""
  tracks = tracks_of(rows, reading.names)
  alone = versions.TrackVersions(scores=tracks.scores)
  values, side = tracks.by_version, reading.two_sided
  few = len(tracks.scores) < 2
  deviation = math.nan if few else float(tracks.differences.std(ddof=1))
  block = versions.compare_versions(tracks, seed=_SEED)
  how = {"permutations": 9_999, "seed": _SEED}
  ps = {
    (blocks, two): versions.p_value(of, two_sided=two, **how)
    for blocks, of in (("tracks", alone), ("albums", tracks))
    for two in (False, True)
  }
  record = {
    **{name: rows[0][name] for name in ("model", "method", "stratum")},
    "reading": reading,
    "tracks": block.tracks,
    "albums": block.blocks,
    "lean": block.difference / deviation,
    "ci": tuple(x / deviation for x in block.ci),
    "p": ps,
    "hits": None,
  }
  if block.tracks > TRACKS:
    mixed, whole = (deal(tracks.block, by) for by in (False, True))
    record["hits"] = {
      "albums whole": rejections(values, whole, side),
      "tracks mixed": rejections(values, mixed, side),
      "mixed, by album": with_albums(tracks, mixed, side),
    }
    record["band"] = null_band(values, whole, side)
  return record


def records_of(rows: Sequence[Row]) -> list[dict[str, Any]]:
  """Records of all readings, in their order, then by method, stratum and model."""
  by_kind = groups(rows, ("method", "stratum", "model"))
  order = lambda item: (STRATA.index(item[0][1]), MODELS.index(item[0][2]))
  wanted = [
    (own, reading)
    for reading in READINGS
    for method in METHODS[reading.family]
    for (name, _, model), own in sorted(by_kind.items(), key=order)
    if name == method and model.startswith(reading.family)
  ]
  return [measure(*one) for one in tqdm(wanted, unit="record", desc="tests")]


def _share(records: Sequence[dict[str, Any]], kind: str = "albums whole") -> float:
  found = [r["hits"][kind] / AUDITS for r in records if r["hits"]]
  return float(np.mean(found)) if found else math.nan


def _rejected(records: Sequence[dict[str, Any]]) -> int:
  """Models whose whole stratum is rejected at ALPHA, tracks taken for independent."""
  side = records[0]["reading"].two_sided
  return sum(record["p"]["tracks", side] <= ALPHA for record in records)


def keeps(records: Sequence[dict[str, Any]]) -> bool:
  """Whether one reading keeps its level in one stratum, by every method."""
  return all(
    not _share(own) > MOST_SHARE and _rejected(own) <= MOST_MODELS * len(own)
    for own in groups(records, "method").values()
  )


def summary(records: Sequence[dict[str, Any]]) -> tuple[list[str], str]:
  """The summary's lines, and what it says in three sentences."""
  head = ["twins"]
  for stratum in STRATA[:2]:
    head += [f"{stratum}: lean", "p <= 5%", "rejected, %", "keeps"]
  cells, kept = [[*head, "trained: rejected, %"]], {}
  for reading, own in groups(records, "reading").items():
    line, by_stratum = [str(reading)], groups(own, "stratum")
    for stratum in STRATA[:2]:
      found = by_stratum[stratum]
      kept[reading, stratum] = keeps(found)
      methods = list(groups(found, "method").values())
      line += [
        ", ".join(f"{_lean(some):+.2f}" for some in _by_corpus(methods[0])),
        " / ".join(f"{_rejected(m)} of {len(m)}" for m in methods),
        " / ".join(_percents(m) for m in methods),
        "yes" if kept[reading, stratum] else "no",
      ]
    trained = groups(by_stratum[STRATA[2]], "method").values()
    cells.append([*line, " / ".join(_percents(m) for m in trained)])
  return tables.markdown(cells), _conclusion(kept)


def _by_corpus(records: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
  """Records of models that were trained on multigenre, and of those on piano."""
  return list(groups(records, lambda r: r["model"].split("-")[1]).values())


def _lean(records: Sequence[dict[str, Any]]) -> float:
  return float(np.mean([record["lean"] for record in records]))


def _percents(records: Sequence[dict[str, Any]]) -> str:
  shares = [_share(own) for own in _by_corpus(records)]
  return ", ".join("-" if math.isnan(x) else f"{100 * x:.1f}" for x in shares)


def _conclusion(kept: Mapping[tuple[Reading, str], bool]) -> str:
  def named(family: str, *strata: str) -> str:
    found = [
      reading.plain
      for reading in READINGS
      if reading.family == family and all(kept.get((reading, of)) for of in strata)
    ]
    return "; ".join(found) or "none"

  said = {
    stratum: f"of waveform models {named('diffwave', stratum)}, of log-mel models"
    f" {named('musicldm', stratum)}"
    for stratum in STRATA[:2]
  }
  both = named("diffwave", *STRATA[:2])
  default = (
    f"The default of waveform models without reference music may be {both}."
    if both != "none"
    else "So no twin of waveform models may be a default that speaks of the suspects"
    " alone: it has to ask for reference music of their albums, or, with a twin that"
    " keeps its level on strangers, to claim no more than that the model was trained on"
    " these tracks or on others of their albums."
  )
  return (
    f"On strangers the reference-free p keeps its level: {said[STRATA[0]]}. On"
    f" album-mates it does: {said[STRATA[1]]}. {default}"
  )


def long_table(records: Sequence[dict[str, Any]]) -> list[str]:
  """One line a record."""
  head = ["twins", "method", "model", "tracks", "albums", "lean [by album]"]
  head += ["p, one side", "two sides", "p by album, one side", "two sides"]
  head += ["rejected, albums whole", "if exchangeable", "tracks mixed"]
  cells = [[*head, "mixed, by album"]]
  for r in records:
    low, high = r["ci"]
    line = [str(r["reading"]), r["method"], r["model"], str(r["tracks"])]
    line += [str(r["albums"]), f"{r['lean']:+.2f} [{low:+.2f}, {high:+.2f}]"]
    line += [
      tables.p_value(r["p"][blocks, two])
      for blocks in ("tracks", "albums")
      for two in (False, True)
    ]
    if r["hits"]:
      whole, mixed, albumwise = (tables.share(n, AUDITS) for n in r["hits"].values())
      band = "{:.1f} to {:.1f}%".format(*(100 * x for x in r["band"]))
      line += [whole, band, mixed, albumwise]
    cells.append(line + ["-"] * (len(cells[0]) - len(line)))
  return tables.markdown(cells)


_NOTES = f"""A lean is the mean over tracks of the score less the twins', by
logarithms, in standard deviations of tracks, here by Loss. "p <= 5%" counts the
models whose whole stratum the test rejects, one-sided where not said otherwise, with
tracks taken for independent. "Rejected" is the share of {AUDITS} audits of {TRACKS}
tracks with p at most 5%, the mean over models with more such tracks than that; an
audit takes album after album whole. With a comma between them stand the means over
the models that were trained on the corpus multigenre and over those of the corpus
piano; with a slash, Loss and ReDiffuse. A reading keeps its level where, by each
method, no more than {100 * MOST_SHARE:g}% are rejected, the mean over all models, and
no more than one model in {1 / MOST_MODELS:.0f}; this rule was fixed before any row
was read. Where the lean is far below 0 the p-value errs on the safe side and is not
exact. An album is a package. Unseen piano music shares its two packages, and a
sampled piano, with what the piano models trained on. Twins are those that
`twins.suitable` allows; slower_3 is the nearest to its border: the states that
musicldm-piano-a sees of four piano clips differ by 9.6%, where {LEAST_ENCODER:.0%}
is asked for."""


def format_tables(records: Sequence[dict[str, Any]]) -> str:
  """The whole of level.md: what it says, its summary, and long tables by stratum."""
  lines, said = summary(records)
  parts = ["# When the test by twins keeps its level", said, "\n".join(lines), _NOTES]
  for stratum, own in groups(records, "stratum").items():
    parts += [f"## {stratum.capitalize()}", "\n".join(long_table(own))]
  return "\n\n".join(parts) + "\n"

"""Scores of clips under one model by one method, in memory or into a file."""

import contextlib
import dataclasses
import hashlib
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from lsaprobe_jax import twins as twin_library
from lsaprobe_jax.attacks.twinned import Twinned
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.metrics import difficulty, pivot, summary
from lsaprobe_jax.models.fingerprint import fingerprint
from lsaprobe_jax.models.trained import TrainedModel
from lsaprobe_jax.rows import Row, has_score, row_lines
from lsaprobe_jax.scoring import row_store
from lsaprobe_jax.scoring.method import LSAProbe, method_name
from lsaprobe_jax.scoring.row_store import RowFile, RowStore
from lsaprobe_jax.scoring.scorer import Scorer, check_clips
from lsaprobe_jax.text import printable


class Estimate(NamedTuple):
  """A figure and its 95% interval, which counts tracks and not clips."""

  value: float
  low: float
  high: float

  def __str__(self) -> str:
    """The figure with its interval."""
    return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Scores:
  """Scores of clips under one model by one method; higher means member.

  Attributes:
    rows: one a clip (`rows.Row`).
    failed: ids of clips that came to no score, which the log explains.
    recorded: whether the rows' sides are those of the model's own training record.
  """

  rows: tuple[Row, ...]
  failed: tuple[str, ...] = ()
  recorded: bool = False

  def __repr__(self) -> str:
    """The scores in a line."""
    method, model = (
      (self.rows[0][key] for key in ("method", "model")) if self.rows else ("", "")
    )
    failed = f", {len(self.failed)} failed" if self.failed else ""
    return f"Scores({len(self.rows)} clips by {method} under {model}{failed})"

  def __len__(self) -> int:
    return len(self.rows)

  @property
  def clips(self) -> list[str]:
    """Ids of the clips."""
    return [row["clip"] for row in self.rows]

  @property
  def score(self) -> np.ndarray:
    """Scores of the clips, float64 [n]; higher means member."""
    return self._column("score")

  @property
  def cost(self) -> np.ndarray:
    """C_adv of the clips, float64 [n]; NaN where tau was not reached or is not used."""
    return self._column("cost")

  @property
  def reached(self) -> np.ndarray:
    """Whether tau was reached within eta_max, bool [n]."""
    return np.array([bool(row.get("reached")) for row in self.rows])

  @property
  def nfe(self) -> np.ndarray:
    """Network function evaluations of the clips, forward and backward, float64 [n]."""
    return self._column("nfe_forward") + self._column("nfe_backward")

  def _column(self, name: str) -> np.ndarray:
    values = (row.get(name) for row in self.rows)
    return np.array([np.nan if value is None else value for value in values], float)

  def auc(self) -> Estimate:
    """AUC of members against non-members, with its 95% interval by track.

    Raises:
      ArgumentError: the rows hold no members, or no non-members, too few tracks, or a
        track on both sides.
    """
    splits = {row["split"] for row in self.rows}
    if not {"member", "nonmember"} <= splits:
      raise ArgumentError(
        "clips: an AUC needs members and non-members; give clips of both, or score(...,"
        " members=TRACKS)"
      )
    # One model's scores, whatever it is called: evaluations keep the name `reference`
    # for a control.
    rows = [dict(row, model="model") for row in self.rows]
    try:
      records = summary.summarise(rows, resamples=1)
    except ValueError as error:
      raise ArgumentError(f"clips: {error}") from error
    record = next(record for record in records if record["model"] == "model")
    if record["auc_ci"] is None:
      raise ArgumentError(
        f"clips: {record['n_tracks']} tracks are too few for an interval of an AUC;"
        " give more"
      )
    return Estimate(record["auc"], *record["auc_ci"])

  def by_reference(self, reference: "Scores") -> Self:
    """Difficulty-calibrated scores, by a reference model's of the same clips.

    Args:
      reference: scores by the same method under a model that saw none of the clips.

    Raises:
      ArgumentError: no clip is scored by the same method under both, the draws are of
        other seeds, or the reference model was trained on one of them by its record.
    """
    seeds = [{row["seed"] for row in scores.rows} for scores in (self, reference)]
    if all(seeds) and seeds[0] != seeds[1]:
      raise ArgumentError(
        f"reference: scored with seed {min(seeds[1])} where these are of seed"
        f" {min(seeds[0])}; a clip's draws have to be the same under both"
      )
    own = set(self.clips)
    seen = [
      row["clip"]
      for row in reference.rows
      if row["split"] == "member" and row["clip"] in own
    ]
    if seen and reference.recorded:
      raise ArgumentError(
        f"reference: its model was trained on {len(seen)} of these clips, such as"
        f" {seen[0]}; give scores by one that saw none of them"
      )
    renamed = [dict(row, model=pivot.REFERENCE) for row in reference.rows]
    rows = difficulty.by_reference([*self.rows, *renamed])
    if not rows:
      raise ArgumentError("reference: it scores none of these clips by the same method")
    return dataclasses.replace(self, rows=tuple(rows))

  def by_twins(self) -> Self:
    """Difficulty-calibrated scores, by the clips' own twins (`score(..., twins=...)`).

    Raises:
      ArgumentError: the clips were scored without twins.
    """
    rows = difficulty.by_twins(self.rows)
    if not rows:
      raise ArgumentError(
        "twins: these clips were scored without; give score(..., twins=['polarity'])"
      )
    return dataclasses.replace(self, rows=tuple(rows))

  def to_rows(self) -> list[Row]:
    """One row a clip, as JSON has it."""
    return list(self.rows)

  def save(self, path: str | pathlib.Path) -> None:
    """Writes the rows as lines of JSON."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, row_lines(self.rows))


def score(
  model: TrainedModel,
  method: Any,
  clips: Corpus,
  *,
  t_ratio: float | None = None,
  twins: Sequence[str] = (),
  members: Collection[str] | None = None,
  path: str | pathlib.Path | None = None,
  seed: int = 0,
  batch_size: int = 0,
) -> Scores:
  """Scores clips under a model.

  All devices are used, and what compiles is compiled once. A clip whose score is not
  finite is named in the log and in `failed`, and does not end the run.

  Args:
    model: the model under audit.
    method: an `LSAProbe` with tau, or any attack (`attacks`).
    clips: the clips (`load_audio`).
    t_ratio: an attack's time over T; an `LSAProbe` has its own, and takes no other.
    twins: names of twins that are scored beside each clip (`twins.names`), for
      `Scores.by_twins`.
    members: names of tracks that the model was trained on; what the model's own record
      says by default, and the group `a` where there is none.
    path: rows go to this file as they come, and the same call goes on from those that
      are there; None keeps them in memory.
    seed: of the draws of noise; a clip's own depend on it and on its id alone.
    batch_size: clips on a device at once; 0 finds what fits.

  Raises:
    SettingError: a twin is unknown, or carries no signal under the model.
    ArgumentError: tau is not calibrated, an attack has no time or an `LSAProbe` would
      have a second one, a track of `members` is
      not there, the clips do not have the model's sample rate or have more channels
      than it, or the file at `path` is in use, or holds rows of these clips and names
      at another tau, in another number of channels, for other members, or by other
      weights, settings or samples.
    RowError: the file at `path` holds what is no row.
  """
  check_clips(model, clips)
  model = _with_members(model, clips, members).for_length(clips.audio.shape[-1])
  names = {"method": method_name(method), "distance": None}
  if isinstance(method, LSAProbe):
    attack = method.attack(model.sample_rate)
    names |= {"t_ratio": method.t_ratio, "distance": method.distance_name}
    if t_ratio not in (None, method.t_ratio):
      raise ArgumentError(
        f"t_ratio={t_ratio:g}: this LSAProbe has t_ratio={method.t_ratio:g}, at which"
        " its tau was calibrated; make another: LSAProbe(t_ratio=...)"
      )
  else:
    attack, own = method, getattr(method, "t_ratio", None)
    distance = getattr(method, "distance", None)
    names |= {"t_ratio": own if t_ratio is None else t_ratio}
    names |= {"distance": getattr(distance, "name", None)}
  if names["t_ratio"] is None:
    raise ArgumentError(f"t_ratio: {names['method']} needs one, such as t_ratio=0.4")
  tau = getattr(attack, "tau", None)
  if twins:
    twin_library.check(model.model, np.asarray(clips.audio[:4]), twins, seed=seed)
    attack = Twinned.by_names(attack, twins)
  splits = {clip.id: model.split(clip) for clip in clips.clips}
  path = None if path is None else pathlib.Path(path)
  with contextlib.nullcontext() if path is None else row_store.alone(path):
    store = RowStore() if path is None else RowFile(path)
    kind = names | {"model": model.name, "corpus": clips.name, "seed": seed}
    stored = [row for row in store.rows if kind.items() <= row.items()]
    _check_stored(path, stored, splits, clips, tau, twins)
    made_by = None
    if path is not None:
      computed = f"{fingerprint(model.model)} {fingerprint(attack)}"
      computed += f" {clips.audio.shape[-1]} samples"
      made_by = lambda clip: _short_hash(f"{computed} {clip.sha256}")
      _check_made(path, stored, {clip.id: made_by(clip) for clip in clips.clips})
    scorer = Scorer(seed, batch_size, len(clips))
    rows = scorer(store, attack, model, clips, made_by=made_by, **names)
  scored = {row["clip"] for row in rows}
  failed = tuple(clip.id for clip in clips.clips if clip.id not in scored)
  recorded = members is None and model.members is not None
  return Scores(rows=tuple(rows), failed=failed, recorded=recorded)


def _check_stored(path, rows: Sequence[Row], splits, clips: Corpus, tau, twins) -> None:
  """Refuses stored rows of the same kind that this call would not have made."""
  wanted = ",".join(twins)
  for row in rows:
    if tau is not None and "tau" in row and np.float32(row["tau"]) != np.float32(tau):
      raise ArgumentError(
        f"path={path}: holds rows at tau {row['tau']:g}, not {tau:g}; choose a new file"
      )
    if row.get("twins", "") != wanted:
      raise ArgumentError(
        f"path={path}: holds rows with the twins {row.get('twins', 'none')}, not"
        f" {wanted or 'none'}; choose a new file"
      )
    # A clip that was tried in vain has nothing else kept.
    if has_score(row) and row.get("channels", 1) != clips.channels:
      raise ArgumentError(
        f"path={path}: holds rows of clips with {row.get('channels', 1)} channels, not"
        f" {clips.channels}; choose a new file"
      )
    if splits.get(row["clip"], row["split"]) != row["split"]:
      raise ArgumentError(
        f"path={path}: {printable(row['clip'])} is a {row['split']} there and now a"
        f" {splits[row['clip']]}; choose a new file"
      )


def _check_made(path, rows: Sequence[Row], made_by: Mapping[str, str]) -> None:
  """Refuses stored rows that another model or attack gave, or other samples."""
  for row in rows:
    wanted = made_by.get(row["clip"])
    # Rows that were kept before they said it are taken on trust.
    if wanted is not None and row.get("made_by", wanted) != wanted:
      raise ArgumentError(
        f"path={path}: holds a score of {printable(row['clip'])} by other weights or"
        " settings than these, or of other samples, under the same names; choose a new"
        " file, or load the model under a name of its own: load_model(..., name=...)"
      )


def _short_hash(text: str) -> str:
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def _with_members(
  model: TrainedModel, clips: Corpus, members: Collection[str] | None
) -> TrainedModel:
  """The model with a record of its members, where tracks are named."""
  if members is None:
    return model
  if isinstance(members, str):
    members = [members]
  if unknown := set(members) - set(clips.tracks):
    raise ArgumentError(f"members: there is no track {min(unknown)!r} among the clips")
  seen: Sequence = [clip for clip in clips.clips if clip.track in members]
  return dataclasses.replace(
    model, group=None, members={clip.id: clip.sha256 for clip in seen}
  )

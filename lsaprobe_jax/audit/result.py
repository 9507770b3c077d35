"""The result of an audit, and the files that it is handed over in."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from lsaprobe_jax import strict_json
from lsaprobe_jax.audit.findings import Findings, TrackFinding, to_plain
from lsaprobe_jax.audit.gates import Gate
from lsaprobe_jax.audit.inputs import Inputs
from lsaprobe_jax.audit.track_scores import PANEL, TrackScores
from lsaprobe_jax.data import inspection
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.report import dossier
from lsaprobe_jax.rows import Row, row_lines
from lsaprobe_jax.scoring import workdir

_SCORES = "scores.jsonl"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class AuditResult:
  """What an audit came to.

  `repr` is one line; `str` is what the command prints: gates, tests, the verdict.

  Attributes:
    verdict: a few sentences.
    gates: all conditions of a verdict, and whether they hold.
    findings: everything that follows from the scores; None where a gate fails.
    scores: scores of tracks, with the panel; None where a gate fails.
    rows: every score, raw and difficulty-calibrated.
    failed: ids of clips that some method has no score for.
    difficulty_calibration: that of the scores which decide: `none`, `reference`,
      `twins` or `both`.
    reference_unknown: whether the reference model's folder does not say what it was
      trained on.
    inputs: what the audit was given.
  """

  verdict: str
  gates: tuple[Gate, ...]
  findings: Findings | None
  scores: TrackScores | None
  rows: tuple[Row, ...]
  failed: tuple[str, ...]
  difficulty_calibration: str
  reference_unknown: bool
  inputs: Inputs

  @property
  def evidence(self) -> bool | None:
    """Whether there is evidence of training; None where there is no verdict."""
    return None if self.findings is None else self.findings.evidence

  @property
  def p_value(self) -> float | None:
    """The p-value that decides; None where there is no verdict."""
    return None if self.findings is None else self.findings.p_value

  @property
  def tracks(self) -> tuple[TrackFinding, ...]:
    """What is found of each suspect; empty where there is no verdict."""
    return () if self.findings is None else self.findings.tracks

  @property
  def facts(self) -> Mapping[str, list[inspection.Facts]]:
    """What is known of each track's file, by side: `suspect`, `reference`, ..."""
    return self.inputs.facts

  @property
  def notes(self) -> list[str]:
    """What a reader should know of the two sides."""
    return self.inputs.notes

  def __repr__(self) -> str:
    """One line."""
    holding = sum(gate.holds is True for gate in self.gates)
    return (
      f"AuditResult(evidence={self.evidence}, p_value={self.p_value},"
      f" gates={holding} of {len(self.gates)} hold,"
      f" suspects={len(self.facts['suspect'])},"
      f" reference={len(self.facts.get('reference', []))})"
    )

  def __str__(self) -> str:
    """Gates, tests and the verdict, as the command prints them."""
    return dossier.text(self._built([]))

  def to_rows(self) -> list[Row]:
    """Every score as a row of results (`rows.Row`)."""
    return list(self.rows)

  def save(self, folder: str | os.PathLike) -> pathlib.Path:
    """Writes dossier.html, audit.json, tracks.csv, figures and scores.jsonl.

    Args:
      folder: a new folder, or the working folder of this audit.

    Returns:
      The path of the page.

    Raises:
      ArgumentError: the folder holds the scores of another audit, or cannot be written.
    """
    folder = pathlib.Path(folder)
    self._claim(folder)
    workdir.note_environment(folder)
    built = self._built(strict_json.read(folder / "environment.json", list))
    pictures = dossier.draw_if_possible(
      self._panel_scores(), built["found"], self.rows, folder / "figures"
    )
    return dossier.write(built, pictures, folder)

  def _claim(self, folder: pathlib.Path) -> None:
    if self.inputs.refused:
      claim_unscored(folder)
      return
    workdir.claim(folder, self.inputs.identity(), ["config.batch_size"])
    if not (folder / _SCORES).exists():
      scored = [row for row in self.rows if row["difficulty_calibration"] == "none"]
      write_whole(folder / _SCORES, row_lines(scored))

  def _panel_scores(self) -> dict[str, list[float]] | None:
    """Panel scores of each side, for a figure."""
    if self.scores is None:
      return None
    found = {
      "suspects": list(self.scores.suspects[PANEL].values()),
      "comparison tracks": list(self.scores.comparison[PANEL].values()),
    }
    return {side: values for side, values in found.items() if values}

  def _built(self, environments: list[dict[str, Any]]) -> dict[str, Any]:
    """The dossier as JSON-able values."""
    inputs = self.inputs
    clips = {
      "suspect": inputs.suspects.clips,
      "reference": inputs.comparison.clips + inputs.development.clips,
      **{f"held_back_{i}": c.clips for i, c in enumerate(inputs.held_back, 1)},
    }
    found = self.findings and to_plain(self.findings) | {
      "difficulty_calibration": self.difficulty_calibration,
      "reference_unknown": self.reference_unknown,
    }
    return dossier.build(
      verdict=self.verdict,
      given=inputs.given,
      facts={
        side: [fact.plain() for fact in facts] for side, facts in inputs.facts.items()
      },
      clips={side: [clip.track for clip in clips[side]] for side in inputs.facts},
      clip_seconds=inputs.suspects.clip_seconds,
      gates=to_plain(self.gates),
      notes=inputs.notes,
      found=found,
      failed=list(self.failed),
      environments=environments,
      run=inputs.identity(),
    )


def claim_unscored(folder: pathlib.Path) -> None:
  """Makes a folder for a dossier without scores.

  Raises:
    ArgumentError: it holds the scores of another audit, or cannot be written.
  """
  if any((folder / name).exists() for name in ("run.json", _SCORES)):
    raise ArgumentError(
      f"workdir={folder} holds the scores of another audit; choose a new folder"
    )
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise ArgumentError(f"workdir={folder} cannot be used: {error}") from error

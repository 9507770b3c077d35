"""From what an audit found to what it hands over: a page, JSON and CSV."""

import base64
import collections
import csv
import io
import pathlib
from typing import Any

import numpy as np
from absl import logging

from lsaprobe_jax.audit import statistics
from lsaprobe_jax.metrics import tables
from lsaprobe_jax.report import figures, page
from lsaprobe_jax.text import cell, first_line, printable, printable_leaves

_SIDES = {"member": "suspects", "nonmember": "comparison tracks"}


def verdict(gates: list[dict[str, Any]], found: dict[str, Any] | None) -> str:
  """A few sentences: refused, evidence, or none; and what the answer takes for granted.

  The first sentence says whether a reference model took off what is easy about a track
  for any model.

  Args:
    gates: `name`, `holds`, `text`, `mend`.
    found: see `statistics.judge`, with `difficulty_calibration` and `reference_unknown`; None where
      there is no verdict.
  """
  if found is None:
    failed = [gate for gate in gates if gate["holds"] is False]
    reasons = "; ".join(f"{g['name']}: {g['mend'] or g['text']}" for g in failed)
    return (
      f"No verdict. {'A gate fails' if len(failed) == 1 else 'Gates fail'}: {reasons}."
    )
  p_value, alpha = found["p_value"], found["alpha"]
  how = (
    ""
    if found["difficulty_calibration"] != "none"
    else ", not calibrated for difficulty"
  )
  if not found["evidence"]:
    return (
      f"No evidence of training{how} (p = {p_value:.2g}, above {alpha:g});"
      f" {_seen(found['power']['detectable'])}."
    )
  single = len(found["tracks"]) == 1
  who = "the suspect scores" if single else "the suspects score"
  lines = [
    f"Evidence of training{how}: {who} above tracks that the model has not seen"
    f" (p = {p_value:.2g}, at most {alpha:g}).",
    "Of one track: whatever else sets it apart would look the same."
    if single
    else "It is about the set as a whole.",
  ]
  if found["difficulty_calibration"] == "none":
    lines.append(
      "No reference model was given: music that is easier for any model would look the"
      " same, and the gates see gross differences only."
    )
  elif found["reference_unknown"]:
    lines.append(
      "That the reference model saw neither side is taken on trust: its folder does not"
      " say what it was trained on."
    )
  if not found["by_album"]:
    lines.append(
      "Tracks, or some of them, were taken for independent: likeness to tracks of the"
      " same album that were trained on would look the same."
    )
  return " ".join(lines)


def _seen(size: float | None) -> str:
  if size is None:
    return "an audit of this size finds nothing reliably"
  deviations = f"{size:.2g} standard deviations"
  return f"a difference of {deviations} would have been found with 80% power"


def build(
  *,
  given: dict[str, str],
  facts: dict[str, list[dict[str, Any]]],
  sources: dict[str, str],
  clips: dict[str, list[str]],
  clip_seconds: float,
  gates: list[dict[str, Any]],
  notes: list[str],
  found: dict[str, Any] | None,
  failed: list[str],
  environments: list[dict[str, Any]],
  run: dict[str, Any],
) -> dict[str, Any]:
  """The dossier as JSON-able values, from which page and table follow.

  Args:
    given: `model`, `suspects`, `reference`, `reference_model` as on the command line.
    facts: of the file of each track, by 'suspect' and 'reference'.
    sources: path of each track's file.
    clips: tracks of the clips, one name a clip, by 'suspect' and 'reference'.
    clip_seconds: their length.
    gates: see `verdict`.
    notes: lines for the reader.
    found: see `statistics.judge`; None where there is no verdict.
    failed: ids of clips without a score.
    environments: commands and versions (environment.json).
    run: settings and hashes (run.json).
  """
  if found is not None:
    named = lambda path: {"source": path, "name": pathlib.PurePath(path).name}
    tracks = [t | named(sources[t["track"]]) for t in found["tracks"]]
    order = lambda t: (
      t["p"][statistics.PANEL],
      -t["score"][statistics.PANEL],
      t["track"],
    )
    found = found | {"tracks": sorted(tracks, key=order)}
  comparison = found["cutoffs"][statistics.PANEL]["of"] if found else None
  each = collections.Counter(clips["suspect"])
  # The only place where names from files enter: every document is made from this.
  return printable_leaves(
    {
      **given,
      "suspects": _side(given["suspects"], facts["suspect"], clips["suspect"]),
      "reference": _side(given["reference"], facts["reference"], clips["reference"]),
      "clip_seconds": clip_seconds,
      "clips_per_track": min(each.values()),
      "verdict": verdict(gates, found),
      "gates": gates,
      "notes": notes,
      "found": found,
      "methods": [m for m in found["cutoffs"] if m != statistics.PANEL]
      if found
      else [],
      "comparison": comparison,
      "lowest": f"{1 / (comparison + 1):.3g}" if comparison else None,
      "failed": failed,
      "files": [
        fact | {"side": side, "source": sources[fact["track"]]}
        for side, own in facts.items()
        for fact in own
      ],
      "run": page.settings_of(run) | {"environments": environments},
    }
  )


def _side(path: str, facts: list[dict[str, Any]], clips: list[str]) -> dict[str, Any]:
  three = lambda values: " / ".join(
    f"{f(values):.4g}" for f in (np.min, np.median, np.max)
  )
  known = lambda name: [fact[name] for fact in facts if fact[name] is not None]
  counts = lambda name: ", ".join(
    f"{kind} ({count})"
    for kind, count in sorted(collections.Counter(known(name)).items())
  )
  return {
    "path": path,
    "tracks": len(facts),
    "clips": len(clips),
    "seconds": three(known("seconds")),
    "lufs": three(known("lufs")) if known("lufs") else "silent",
    "bandwidth": three(known("bandwidth")),
    "rates": counts("rate"),
    "formats": counts("format"),
  }


def table(dossier: dict[str, Any]) -> str:
  """One line a file as CSV, suspects with their verdicts; formulas are defused."""
  judged = {t["track"]: t for t in (dossier["found"] or {"tracks": []})["tracks"]}
  methods = [statistics.PANEL, *dossier["methods"]]
  names = ("side", "source", "sha256", "seconds", "rate", "channels", "format", "lufs")
  header = [*names, "verdict", "q", *(f"p {m}" for m in methods)]
  header += [f"score {m}" for m in methods]
  out = io.StringIO()
  writer = csv.writer(out, lineterminator="\n")
  writer.writerow(header)
  for file in dossier["files"]:
    row = [file[name] for name in names]
    found = judged.get(file["track"])
    if found is not None:
      row += ["above the level" if found["flagged"] else "not told apart", found["q"]]
      row += [found[kind][m] for kind in ("p", "score") for m in methods]
    row += [""] * (len(header) - len(row))
    writer.writerow([cell(value) for value in row])
  return out.getvalue()


def draw(
  scores: statistics.Scores | None,
  found: dict[str, Any] | None,
  rows: list[dict[str, Any]],
  folder: pathlib.Path,
) -> dict[str, str]:
  """Writes the figures to a folder; returns those of the page as data URIs.

  Args:
    scores: with the panel; None where there is no verdict, and nothing is drawn.
    found: see `statistics.judge`.
    rows: of the probe's curves come the curves.
    folder: created if missing.
  """
  if scores is None or found is None:
    return {}
  sides = {
    name: list(getattr(scores, side)[statistics.PANEL].values())
    for name, side in (("suspects", "suspects"), ("comparison tracks", "comparison"))
  }
  cutoff = found["cutoffs"][statistics.PANEL]["cutoff"]
  drawn = {"tracks": figures.track_scores(sides, cutoff)}
  curves = page.curves(rows, {})
  if curves:
    drawn["curves"] = figures.degradation_curves(curves[0], _SIDES)
  uris = {}
  for name, figure in drawn.items():
    png, _ = figures.save(figure, folder / name)
    data = base64.b64encode(png.read_bytes()).decode()
    uris[name] = f"data:image/png;base64,{data}"
  return uris


def draw_if_possible(*args) -> dict[str, str]:
  """What `draw` returns, or nothing where it fails: a verdict needs no pictures."""
  try:
    return draw(*args)
  except Exception as error:
    logging.error("the dossier is without figures: %s", printable(first_line(error)))
    return {}


def checks(gates: list[dict[str, Any]], notes: list[str]) -> list[str]:
  """Gates and notes, one line each."""
  state = {True: "holds", False: "FAILS", None: "not known"}
  lines = [f"{g['name']}: {state[g['holds']]}. {g['text']}" for g in gates]
  return lines + [f"note: {note}" for note in notes]


def text(dossier: dict[str, Any]) -> str:
  """What the launcher prints: gates, the set's tests, the verdict."""
  lines = checks(dossier["gates"], dossier["notes"])
  found = dossier["found"]
  if found is not None and found["sets"][statistics.PANEL] is not None:
    header = ["score", "difference", "p", "p Holm"]
    cells = [
      [
        *(
          m,
          "no spread" if s["effect"] is None else f"{s['effect']:+.2f} sd",
          f"{s['p_value']:.2g}",
        ),
        "" if m == statistics.PANEL else f"{s['p_holm']:.2g}",
      ]
      for m, s in found["sets"].items()
    ]
    lines += ["", *tables.align([header, *cells])]
  if found is not None:
    lines += [
      "",
      f"{found['flagged']} of {len(found['tracks'])} suspects lie above the level,"
      f" {found['expected_flags']:.2g} expected by chance",
    ]
  return "\n".join([*lines, "", dossier["verdict"]])

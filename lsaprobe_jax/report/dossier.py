"""An audit's dossier: one page, JSON and CSV, all from the same JSON-able values.

Everything here works on plain values and knows nothing of how an audit is made.
"""

import base64
import collections
import csv
import io
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from lsaprobe_jax.files import write_whole
from lsaprobe_jax.metrics import tables
from lsaprobe_jax.report import figures, html, page
from lsaprobe_jax.strict_json import to_json
from lsaprobe_jax.text import cell, first_line, printable, printable_leaves, rounded

# The score that decides, among the methods of a dossier.
PANEL = "panel"
_ALONE = "; here each stands for itself, whatever its album"
_SIDES = {"member": "suspects", "nonmember": "comparison tracks"}
_FILE_FACTS = (
  "side",
  "track",
  "source",
  "sha256",
  "seconds",
  "rate",
  "channels",
  "format",
  "lufs",
)


def build(
  *,
  verdict: str,
  given: Mapping[str, str | None],
  facts: Mapping[str, list[dict[str, Any]]],
  clips: Mapping[str, list[str]],
  clip_seconds: float,
  gates: list[dict[str, Any]],
  notes: list[str],
  found: dict[str, Any] | None,
  failed: list[str],
  environments: list[dict[str, Any]],
  run: dict[str, Any],
) -> dict[str, Any]:
  """Makes the dossier as JSON-able values, from which page and table follow.

  Args:
    verdict: a few sentences.
    given: `model`, `suspects`, `reference`, `reference_model`, `held_back`, `lora` as
      they were named; None for what was not given.
    facts: what is known of each track's file, by side: `suspect`, and `reference` or
      `held_back_1`, ... where these are there.
    clips: the tracks of the clips, one name a clip, by side.
    clip_seconds: their length.
    gates: `name`, `holds`, `text` and `mend` of each.
    notes: lines for the reader.
    found: the findings; None where there is no verdict.
    failed: ids of clips without a score.
    environments: commands and versions (environment.json).
    run: settings and hashes.
  """
  if found is not None:
    found = found | {"tracks": _ranked(found["tracks"], facts)}
  cutoff = found and found["cutoffs"].get(PANEL)
  methods = found["tests"][0]["sets"] if found else ()
  each = collections.Counter(clips["suspect"])
  paths = {"suspect": given["suspects"], "reference": given["reference"]}
  sides = {
    side: _side(paths.get(side) or f"{given['held_back']}, {side}", own, clips[side])
    for side, own in facts.items()
  }
  # The only place where names from files enter: every document is made from this.
  return printable_leaves(
    {
      **given,
      "suspects": sides["suspect"],
      "reference": sides.get("reference"),
      "sides": list(sides.values()),
      "clip_seconds": clip_seconds,
      "clips_per_track": min(each.values()),
      "verdict": verdict,
      "gates": gates,
      "notes": notes,
      "found": found,
      "methods": [method for method in methods if method != PANEL],
      "comparison": cutoff and cutoff["of"],
      "lowest": f"{found['lowest_track']:.3g}" if found else None,
      "failed": failed,
      "files": [fact | {"side": side} for side, own in facts.items() for fact in own],
      "run": page.settings_of(run) | {"environments": environments},
    }
  )


def _ranked(tracks: list[dict[str, Any]], facts) -> list[dict[str, Any]]:
  """Suspects with the names of their files, the most suspicious first."""
  sources = {fact["track"]: fact["source"] for own in facts.values() for fact in own}
  name = lambda track: pathlib.PurePath(sources[track]).name
  named = collections.Counter(name(t["track"]) for t in tracks)
  # Files of two folders may be called alike, and a record's source is its corpus.
  shown = lambda track: (
    name(track) if named[name(track)] == 1 else track.partition("-")[2] or track
  )
  said = lambda track: {
    "source": sources[track],
    "name": name(track),
    "shown": shown(track),
  }
  order = lambda t: (t["p"][PANEL], -t["score"][PANEL], t["track"])
  return sorted((t | said(t["track"]) for t in tracks), key=order)


def _side(path: str, facts: list[dict[str, Any]], clips: list[str]) -> dict[str, Any]:
  three = lambda values: " / ".join(
    rounded(f(values), 4) for f in (np.min, np.median, np.max)
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


def write(
  dossier: dict[str, Any], pictures: Mapping[str, str], folder: pathlib.Path
) -> pathlib.Path:
  """Writes audit.json, tracks.csv and dossier.html, each whole.

  Args:
    dossier: see `build`.
    pictures: figures of the page as data URIs.
    folder: it must be there.

  Returns:
    The path of the page.
  """
  text = json.dumps(to_json(dossier), indent=1, allow_nan=False) + "\n"
  write_whole(folder / "audit.json", text)
  write_whole(folder / "tracks.csv", table(dossier))
  path = folder / "dossier.html"
  write_whole(path, html.render_dossier(to_json(dossier), dict(pictures)))
  return path


def table(dossier: dict[str, Any]) -> str:
  """One line a file as CSV, suspects with their verdicts; formulas are defused."""
  judged = {t["track"]: t for t in (dossier["found"] or {"tracks": []})["tracks"]}
  methods = [PANEL, *dossier["methods"]]
  header = [*_FILE_FACTS, "verdict", "q", *(f"p {m}" for m in methods)]
  header += [f"score {m}" for m in methods]
  out = io.StringIO()
  writer = csv.writer(out, lineterminator="\n")
  writer.writerow(header)
  for file in dossier["files"]:
    row = [file[name] for name in _FILE_FACTS]
    found = judged.get(file["track"])
    if found is not None:
      row += ["beyond the level" if found["flagged"] else "not told apart", found["q"]]
      row += [found[kind][m] for kind in ("p", "score") for m in methods]
    row += [""] * (len(header) - len(row))
    writer.writerow([cell(value) for value in row])
  return out.getvalue()


def draw(
  panel: Mapping[str, Sequence[float]] | None,
  found: dict[str, Any] | None,
  rows: Sequence[Mapping[str, Any]],
  folder: pathlib.Path,
) -> dict[str, str]:
  """Writes the figures to a folder, and returns those of the page as data URIs.

  Args:
    panel: scores of tracks by the name of their side; None where there is no verdict,
      and nothing is drawn.
    found: the findings.
    rows: scores of clips; those of the probe hold curves.
    folder: created if missing.
  """
  if panel is None or found is None:
    return {}
  cutoff = found["cutoffs"].get(PANEL, {"cutoff": None})["cutoff"]
  drawn = {"tracks": figures.track_scores(panel, cutoff)}
  if found["mode"] != "reference":
    drawn["tracks"].axes[0].set_xlabel(
      "as given less the mean of the other versions, over the size of their differences"
    )
  curves = page.curves(list(rows), {})
  if curves:
    drawn["curves"] = figures.degradation_curves(curves[0], _SIDES)
  uris = {}
  for name, figure in drawn.items():
    png, _ = figures.save(figure, folder / name)
    data = base64.b64encode(png.read_bytes()).decode()
    uris[name] = f"data:image/png;base64,{data}"
  return uris


def draw_if_possible(*args) -> dict[str, str]:
  """Returns what `draw` does, or nothing where it fails; a verdict needs no figures."""
  try:
    return draw(*args)
  except Exception as error:
    logging.error("the dossier is without figures: %s", printable(first_line(error)))
    return {}


def checks(gates: Sequence[dict[str, Any]], notes: Sequence[str]) -> list[str]:
  """Gates and notes, one line each."""
  state = {True: "holds", False: "FAILS", None: "not known"}
  lines = [f"{g['name']}: {state[g['holds']]}. {g['text']}" for g in gates]
  return lines + [f"note: {note}" for note in notes]


def text(dossier: dict[str, Any]) -> str:
  """What is printed of a dossier: gates, the tests side by side, the verdict."""
  lines = checks(dossier["gates"], dossier["notes"])
  found = dossier["found"]
  if found is not None:
    first = found["tests"][0]
    lines += ["", *tables.align(_tests_cells(found["tests"]))]
    lines += [f"{test['name']} assumes: {test['assumes']}" for test in found["tests"]]
    for test in found["tests"]:
      if test["sets"][PANEL] is not None:
        lines += ["", *tables.align(_test_cells(test))]
    lines += [
      "",
      f"{found['flagged']} of {len(found['tracks'])} suspects lie beyond the level,"
      f" {rounded(found['expected_flags'], 2)} expected by chance"
      + _ALONE
      * (first["albums_exchanged"] and found["mode"] == "reference"),
    ]
  return "\n".join([*lines, "", dossier["verdict"]])


def _tests_cells(tests: Sequence[dict[str, Any]]) -> list[list[str]]:
  """All tests side by side by their panels, as cells of a table."""
  cells = [["test", "difference", "p", "lowest p", ""]]
  for i, test in enumerate(tests):
    decides = "" if i else "decides"
    effect = _effect(test["sets"][PANEL])
    figures_of = [f"{test['p_value']:.2g}", f"{test['lowest']:.2g}"]
    cells.append([test["name"], effect, *figures_of, decides])
  return cells


def _test_cells(test: dict[str, Any]) -> list[list[str]]:
  """The test of the set by every method, as cells of a table."""
  cells = [[f"score, {test['name']}", "difference", "p", "p Holm"]]
  for method, one in test["sets"].items():
    holm = "" if method == PANEL else f"{one['p_holm']:.2g}"
    cells.append([method, _effect(one), f"{one['p_value']:.2g}", holm])
  return cells


def _effect(one: dict[str, Any] | None) -> str:
  """A difference in standard deviations, as text."""
  if one is None:
    return "one track"
  spread = one["effect"] is not None and np.isfinite(one["effect"])
  return f"{one['effect']:+.2f} sd" if spread else "no spread"

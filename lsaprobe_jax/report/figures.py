"""Figures of a study, the same to the byte for the same rows.

Matplotlib's files carry dates, versions and random ids; `save` leaves them out. Colours
are those of Okabe and Ito, told apart by colour-blind readers; methods differ by marker
too.
"""

import itertools
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np

from lsaprobe_jax import optional
from lsaprobe_jax.metrics import pivot, roc, tables

if TYPE_CHECKING:
  from matplotlib.figure import Figure

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# One more than colours: no pair comes twice within 56 methods.
_MARKERS = "osD^vPX*"
# Difficulty calibrations have a colour, a marker and a dash of their own.
_DASHES = {"none": "-", "reference": "--", "twins": ":", "both": "-."}
_LOOKS = {
  name: {"color": colour, "marker": marker, "linestyle": _DASHES[name]}
  for name, colour, marker in zip(tables.CALIBRATIONS, _COLOURS, _MARKERS, strict=False)
}
_STYLE = {
  "axes.grid": True,
  "axes.spines.right": False,
  "axes.spines.top": False,
  "figure.constrained_layout.use": True,
  "figure.dpi": 120,
  "font.size": 9,
  "grid.alpha": 0.3,
  "svg.fonttype": "path",
  "svg.hashsalt": "lsaprobe_jax",
}
_NO_METADATA = {
  "png": {"Software": None},
  "svg": {"Date": None, "Creator": None},
  "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def _pyplot() -> Any:
  """Matplotlib's pyplot, drawing to files alone; imported where something is drawn."""
  matplotlib = optional.require("matplotlib", "report")
  matplotlib.use("agg")
  return optional.require("matplotlib.pyplot", "report")


def save(
  figure: "Figure", stem: pathlib.Path, kinds: tuple[str, ...] = ("png", "svg")
) -> list[pathlib.Path]:
  """Writes STEM.KIND of each kind without dates or random ids; closes the figure."""
  stem.parent.mkdir(parents=True, exist_ok=True)
  paths = []
  plt = _pyplot()
  with plt.rc_context(_STYLE):
    for kind in kinds:
      paths.append(stem.with_name(f"{stem.name}.{kind}"))
      figure.savefig(paths[-1], metadata=_NO_METADATA[kind])
  plt.close(figure)
  return paths


def methods(records: list[dict]) -> "Figure":
  """AUC of every method with its interval by track, in every calibration there is."""
  shown = [r for r in pivot.headline(records) if r["method"] != pivot.BLIND]
  raw = sorted(
    (r for r in shown if r["difficulty_calibration"] == "none"), key=lambda r: r["auc"]
  )
  names = [(r["method"], r["distance"], r["t_ratio"]) for r in raw]
  found = pivot.groups(shown, "difficulty_calibration")
  found = {name: found[name] for name in tables.CALIBRATIONS if name in found}
  plt = _pyplot()
  with plt.rc_context(_STYLE):
    height = 0.2 + 0.04 * max(2, len(found))
    figure, axes = plt.subplots(figsize=(7, 0.8 + height * len(names)))
    for n, (calibration, own) in enumerate(found.items()):
      rows = {(r["method"], r["distance"], r["t_ratio"]): r for r in own}
      at = [i for i, name in enumerate(names) if name in rows]
      values, errors = _with_errors([rows[names[i]] for i in at])
      look = _LOOKS[calibration] | {"linestyle": "none"}
      axes.errorbar(
        values,
        np.array(at) + 0.2 * ((len(found) - 1) / 2 - n),
        xerr=errors,
        label=tables.CALIBRATIONS[calibration],
        capsize=2,
        markersize=4,
        **look,
      )
    axes.axvline(0.5, color="black", linewidth=0.8)
    axes.set_yticks(
      range(len(names)),
      [
        f"{m}{f', {d}' if d else ''}{f', t = {t:g} T' if t else ''}"
        for m, d, t in names
      ],
    )
    crossed = bool(shown) and shown[0]["model"] == "mean"
    of = "mean of the cross-over" if crossed else "of one model"
    axes.set_xlabel(f"AUC, {of} (95% by track)")
    figure.legend(loc="outside lower center", ncols=len(found))
  return figure


def ablation(records: list[dict]) -> "Figure":
  """AUC against what an ablation varies, one line a method."""
  shown = pivot.headline(records)
  values = list(dict.fromkeys(r["value"] for r in shown))
  # At a single value all would lie on one line.
  numeric = len(values) > 1 and all(isinstance(v, int | float) for v in values)
  ordered = tables.in_order(shown)
  keys = list(
    dict.fromkeys((r["method"], r["difficulty_calibration"]) for r in ordered)
  )
  plt = _pyplot()
  with plt.rc_context(_STYLE):
    # More than there are colours: one a method, hollow and dashed where calibrated.
    crowded = len(keys) > len(_COLOURS)
    size = (9 if numeric else 13, 4.2) if crowded else (7.5, 3.6)
    figure, axes = plt.subplots(figsize=size)
    looks = zip(itertools.cycle(_COLOURS), itertools.cycle(_MARKERS), strict=False)
    if crowded:
      own = dict(zip(dict.fromkeys(method for method, _ in keys), looks, strict=False))
      looks = [own[method] for method, _ in keys]
    for n, (key, (colour, marker)) in enumerate(zip(keys, looks, strict=False)):
      rows = [r for r in shown if (r["method"], r["difficulty_calibration"]) == key]
      x = np.array(
        [r["value"] if numeric else values.index(r["value"]) for r in rows], float
      )
      # Side by side, so that intervals can be told apart, and near their value.
      many = len(keys)
      apart = np.ptp(x) * min(0.01, 0.06 / many) if numeric else min(0.08, 0.8 / many)
      x += apart * (n - (many - 1) / 2)
      values_of, errors = _with_errors(rows)
      hollow = crowded and key[1] != "none"
      axes.errorbar(
        x,
        values_of,
        yerr=errors,
        color=colour,
        marker=marker,
        linestyle=(_DASHES[key[1]] if hollow else "-") if numeric else "none",
        markersize=4,
        fillstyle="none" if hollow else "full",
        capsize=2,
        label=tables.label(*key),
      )
    if not numeric:
      axes.set_xticks(range(len(values)), values)
    axes.axhline(0.5, color="black", linewidth=0.8)
    axes.set_xlabel(records[0]["ablation"])
    axes.set_ylabel("AUC (95% by track)")
    figure.legend(fontsize=7, loc="outside right upper")
  return figure


def training_length(records: list[dict]) -> "Figure":
  """AUC against the epochs of training in every calibration, one panel a method.

  Args:
    records: of `headline.by_length`.
  """
  lines = {name: {"label": tables.CALIBRATIONS[name]} | _LOOKS[name] for name in _LOOKS}
  panels = pivot.groups(records, "method")
  return _by_passes(panels, "difficulty_calibration", lines, "epochs", (0.5,))


def dose(records: list[dict], wanted: float) -> "Figure":
  """AUC against passes over a clip of every method, one panel a calibration.

  Args:
    records: of `doses.drawn`.
    wanted: an AUC at which a line is drawn besides that of guessing.
  """
  looks = zip(itertools.cycle(_COLOURS), itertools.cycle(_MARKERS), strict=False)
  lines = {
    method: {"label": method, "color": colour, "marker": marker}
    for method, (colour, marker) in zip(
      dict.fromkeys(r["method"] for r in records), looks, strict=False
    )
  }
  found = pivot.groups(records, "difficulty_calibration")
  panels = {
    shown: found[key] for key, shown in tables.CALIBRATIONS.items() if key in found
  }
  return _by_passes(panels, "method", lines, "passes over a clip", (0.5, wanted))


def _by_passes(panels, line: str, lines: dict, label: str, levels) -> "Figure":
  """AUCs against the `value` of records, by panel, a line for each value of a field."""
  passes = sorted({r["value"] for own in panels.values() for r in own})
  plt = _pyplot()
  with plt.rc_context(_STYLE):
    figure, grid = plt.subplots(
      1, len(panels), sharey=True, squeeze=False, figsize=(1 + 2.6 * len(panels), 3.2)
    )
    for axes, (title, own) in zip(grid[0], panels.items(), strict=True):
      _passes_panel(axes, pivot.groups(own, line), lines)
      for level in levels:
        axes.axhline(level, color="black", linewidth=0.8)
      axes.set(title=title, xlabel=label, xscale="log")
      axes.set_xticks(passes, list(map(str, passes)))
      axes.set_xticks([], minor=True)
    grid[0][0].set_ylabel("AUC (95% by track)")
    handles = {
      label: handle
      for axes in grid[0]
      for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
      handles.values(), handles, loc="outside lower center", ncols=len(handles)
    )
  return figure


def _passes_panel(axes: Any, found: dict, lines: dict) -> None:
  """AUCs against passes, by the name of the line."""
  for name, own in found.items():
    own = sorted(own, key=lambda r: r["value"])
    n = list(lines).index(name)
    # Side by side on a logarithmic axis, so that intervals can be told apart.
    x = [r["value"] * 1.03 ** (n - (len(lines) - 1) / 2) for r in own]
    values, errors = _with_errors(own)
    axes.errorbar(
      x, values, yerr=errors, capsize=2, markersize=4, linewidth=1.2, **lines[name]
    )


_SIDES = {"member": "members", "nonmember": "non-members"}


def degradation_curves(model: dict, names: dict[str, str] = _SIDES) -> "Figure":
  """D against eta of every clip under a model, with tau (`page.curves`).

  Args:
    model: one of them.
    names: what the two splits are called.
  """
  plt = _pyplot()
  with plt.rc_context(_STYLE):
    figure, axes = plt.subplots(figsize=(5.5, 3.6))
    for (split, name), colour, dash in zip(
      names.items(), _COLOURS, ("-", "--"), strict=False
    ):
      own = [clip for clip in model["clips"] if clip["split"] == split]
      for n, clip in enumerate(own):
        eta, degradation = np.array(clip["points"]).T
        label = f"{name} (n = {len(own)})" if n == 0 else None
        axes.plot(eta, degradation, dash, color=colour, linewidth=0.8, label=label)
    axes.axhline(model["tau"], color="black", linewidth=1, label="tau")
    axes.set(
      xlabel="budget eta, in units of sigma_t",
      ylabel="degradation D",
      xscale="log",
      yscale="log",
      title=f"model {model['model']}",
    )
    axes.legend(fontsize=7)
  return figure


def track_scores(sides: dict[str, list[float]], cutoff: float | None) -> "Figure":
  """Scores of tracks, one line of dots a side, with the cutoff where there is one.

  Args:
    sides: scores by the side's name.
    cutoff: in the same units.
  """
  plt = _pyplot()
  with plt.rc_context(_STYLE):
    figure, axes = plt.subplots(figsize=(7, 0.9 + 0.5 * len(sides)))
    for i, (values, colour, marker) in enumerate(
      zip(sides.values(), _COLOURS, _MARKERS, strict=False)
    ):
      axes.plot(values, [-i] * len(values), marker, color=colour, alpha=0.6)
    if cutoff is not None:
      axes.axvline(cutoff, color="black", linewidth=1, linestyle="--")
    labels = [f"{name} (n = {len(values)})" for name, values in sides.items()]
    axes.set_yticks([-i for i in range(len(sides))], labels)
    axes.set_ylim(0.6 - len(sides), 0.4)
    axes.set_xlabel("score, in standard deviations of the development tracks")
  return figure


def roc_curves(rows: list[dict], names: list[tuple[str, str]]) -> "Figure":
  """ROC of some methods, linear and log-log; A and B averaged at equal FPR.

  Args:
    rows: raw and difficulty-calibrated, as of `study.main_rows`.
    names: (method, difficulty_calibration) to draw.
  """
  grid = np.unique(np.concatenate([np.geomspace(1e-3, 1, 200), np.linspace(0, 1, 201)]))
  plt = _pyplot()
  with plt.rc_context(_STYLE):
    figure, (linear, log) = plt.subplots(1, 2, figsize=(8, 3.8))
    found = dict.fromkeys(method for method, _ in names)
    colours = dict(zip(found, itertools.cycle(_COLOURS), strict=False))
    for key in names:
      colour, dash = colours[key[0]], _DASHES[key[1]]
      curves = [
        _step(own, grid) for own in _by_model(rows, *key).values() if len(own) > 1
      ]
      mean = np.mean(curves, axis=0)
      for axes in (linear, log):
        axes.plot(grid, mean, color=colour, linestyle=dash, label=tables.label(*key))
    for axes in (linear, log):
      axes.plot(grid, grid, color="black", linewidth=0.8)
      axes.set(xlabel="false-positive rate", ylabel="true-positive rate")
    log.set(xscale="log", yscale="log", xlim=(1e-2, 1), ylim=(1e-2, 1.05))
    linear.legend(fontsize=7, loc="lower right")
  return figure


def _step(rows: list[dict], grid: np.ndarray) -> np.ndarray:
  """TPR at each FPR of the grid: nothing is interpolated between operating points."""
  labels = [row["split"] == "member" for row in rows]
  curve = roc.roc_curve([row["score"] for row in rows], labels)
  return curve.tpr[np.searchsorted(curve.fpr, grid, side="right") - 1]


def _by_model(rows, method: str, calibrated: str) -> dict[str, list[dict]]:
  key = ("method", "difficulty_calibration")
  found = pivot.groups(pivot.targets_only(rows), key)
  return pivot.groups(found.get((method, calibrated), ()), "model")


def _with_errors(records: list[dict]) -> tuple[np.ndarray, np.ndarray]:
  """AUCs, and the two arms of their intervals; none where there is no interval."""
  auc = np.array([r["auc"] for r in records])
  bounds = np.array([r["auc_ci"] or (r["auc"], r["auc"]) for r in records])
  return auc, np.maximum(np.stack([auc - bounds[:, 0], bounds[:, 1] - auc]), 0)

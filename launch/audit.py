"""Was this music in the training set of this model? A dossier with a verdict.

python -m launch.audit --model=DIR --suspects=FOLDER --reference=FOLDER --workdir=DIR
  [--reference_model=DIR] [--dry_run] [--config.alpha=0.01]

--reference is music of the same kind that was surely not in training. Both sides are
checked first; where a check fails nothing is scored, and the dossier says what would
mend it. WORKDIR/dossier.html is the page, audit.json the same as data, tracks.csv one
line a file. The same command continues a run that was interrupted. Ends with status 3
where there is no verdict. How to read one: docs/audit.md.
"""

import dataclasses
import json
import pathlib
import sys

from absl import app, flags, logging
from ml_collections import config_flags

import configs
from launch import common
from lsaprobe_jax.audit import procedure
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.report import dossier, html
from lsaprobe_jax.scoring import cost_estimate
from lsaprobe_jax.strict_json import to_json

_MODEL = flags.DEFINE_string(
  "model",
  None,
  "Embedded model, model folder, or what launch.convert takes: a .pt file of DiffWave,"
  " a pipeline's folder or hf:owner/name on the Hugging Face hub.",
)
_SUSPECTS = flags.DEFINE_string(
  "suspects", None, "Folder of tracks, a built corpus's manifest.json, or one file."
)
_REFERENCE = flags.DEFINE_string(
  "reference", None, "Folder or manifest of tracks of the same kind, not trained on."
)
_SUSPECTS_GROUPS = flags.DEFINE_list(
  "suspects_groups", None, "Only tracks of these groups of a built corpus: a,b."
)
_REFERENCE_GROUPS = flags.DEFINE_list(
  "reference_groups", None, "The same of --reference."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Scores and the dossier go here.")
_REFERENCE_MODEL = flags.DEFINE_string(
  "reference_model", None, "A model that saw neither side: its scores are taken off."
)
_DRY_RUN = flags.DEFINE_bool(
  "dry_run", False, "Check the inputs and estimate time and memory; write nothing."
)
_CONFIG = config_flags.DEFINE_config_file(
  "config",
  str(pathlib.Path(configs.__file__).parent / "audit.py"),
  "Settings.",
  lock_config=True,
)

NO_VERDICT = 3


def _named(path: str, groups: list[str] | None) -> str:
  """A side as the dossier calls it."""
  return f"{path} ({','.join(groups)})" if groups else path


def _write(config, inputs, gates, found, failed, rows, scores, workdir) -> str:
  """Writes the dossier; returns what to print of it."""
  common.note_environment(workdir)
  read = lambda name: json.loads((workdir / name).read_text())
  clips = {
    "suspect": inputs.suspects.clips,
    "reference": inputs.comparison.clips + inputs.calibration.clips,
  }
  built = dossier.build(
    given={
      "model": _MODEL.value,
      "suspects": _named(_SUSPECTS.value, _SUSPECTS_GROUPS.value),
      "reference": _named(_REFERENCE.value, _REFERENCE_GROUPS.value),
      "reference_model": _REFERENCE_MODEL.value,
    },
    facts={
      side: [fact.plain() for fact in facts] for side, facts in inputs.facts.items()
    },
    sources=inputs.sources,
    clips={side: [clip.track for clip in own] for side, own in clips.items()},
    clip_seconds=inputs.suspects.clip_seconds,
    gates=[dataclasses.asdict(gate) for gate in gates],
    notes=inputs.notes,
    found=found and to_json(found),
    failed=failed,
    environments=read("environment.json"),
    run={"config": common.jsonable(config)} | inputs.identity(),
  )
  pictures = dossier.draw_if_possible(scores, found, rows, workdir / "figures")
  text = json.dumps(to_json(built), indent=1, allow_nan=False) + "\n"
  write_whole(workdir / "audit.json", text)
  write_whole(workdir / "tracks.csv", dossier.table(built))
  write_whole(workdir / "dossier.html", html.render_dossier(built, pictures))
  return dossier.text(built)


def main(argv):
  """Checks, scores, judges, writes."""
  if argv[1:]:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
  common.use_devices()
  config, workdir = _CONFIG.value, pathlib.Path(_WORKDIR.value)
  with config.unlocked():
    config.targets[procedure.MODEL] = _MODEL.value
    if _REFERENCE_MODEL.value:
      config.targets.reference = _REFERENCE_MODEL.value
  procedure.check(config)
  groups = {"suspect": _SUSPECTS_GROUPS.value, "reference": _REFERENCE_GROUPS.value}
  inputs = procedure.read(config, _SUSPECTS.value, _REFERENCE.value, groups)
  if _DRY_RUN.value:
    print("\n".join(dossier.checks(list(map(dataclasses.asdict, inputs.gates)), [])))
    print(cost_estimate.text(*procedure.estimate(config, inputs)))
    return
  rows, scores, found, failed, gates = [], None, None, [], inputs.gates
  if inputs.refused:
    procedure.prepare_refusal(workdir)
  else:
    run = procedure.begin(config, inputs, workdir)
    with common.ending_in_one_line(f"the rows in {workdir}"):
      rows = procedure.score(run)
      gates, scores, found, failed = procedure.find(config, inputs, rows)
  with common.ending_in_one_line(f"the rows in {workdir}"):
    print(_write(config, inputs, gates, found, failed, rows, scores, workdir))
  logging.info("wrote %s", workdir / "dossier.html")
  if found is None:
    sys.exit(NO_VERDICT)


if __name__ == "__main__":
  flags.mark_flags_as_required(["model", "suspects", "reference", "workdir"])
  common.run(main)

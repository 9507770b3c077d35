"""Was this music in the training set of this model? A dossier with a verdict.

python -m launch.audit --model=DIR --suspects=FOLDER --workdir=DIR [--reference=FOLDER]
  [--reference_model=DIR] [--held_back=FOLDER] [--lora=FILE] [--dry_run]
  [--config.alpha=0.01]

--reference is music of the same kind that was surely not in training. Without any the
suspects are compared with their own twins, or with versions that were --held_back. What
is given is checked first. Where a check fails nothing is scored, and the dossier says
what would mend it. WORKDIR/dossier.html is the page, audit.json the same as data, and
tracks.csv has a line a file. The same command continues a run that was interrupted. It
ends with status 3 where there is no verdict. How to read one: docs/audit.md. Of a
--lora the model is the base, which is also the reference model: docs/lora.md.
"""

import pathlib
import sys

from absl import flags, logging

import configs
from launch import command, devices
from lsaprobe_jax.audit import audit, estimate, prepare, to_plain
from lsaprobe_jax.report import dossier

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
_HELD_BACK = flags.DEFINE_string(
  "held_back", None, "Folder of versions of the suspects that were not published."
)
_SUSPECTS_GROUPS = flags.DEFINE_list(
  "suspects_groups", None, "Only tracks of these groups of a built corpus: a,b."
)
_REFERENCE_GROUPS = flags.DEFINE_list(
  "reference_groups", None, "The same of --reference."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Scores and the dossier go here.")
_REFERENCE_MODEL = flags.DEFINE_string(
  "reference_model",
  None,
  "A model that saw neither side: scores are calibrated for difficulty by it.",
)
_LORA = flags.DEFINE_string("lora", None, "A LoRA trained on the model (docs/lora.md).")
_LORA_SCALE = flags.DEFINE_float("lora_scale", 1.0, "What the LoRA is multiplied by.")
_DRY_RUN = flags.DEFINE_bool(
  "dry_run", False, "Check the inputs and estimate time and memory; write nothing."
)
_CONFIG = command.define_config(
  "Settings.", str(pathlib.Path(configs.__file__).parent / "audit.py")
)

NO_VERDICT = 3


def main(argv):
  """Audits, writes the dossier and prints the verdict."""
  command.refuse_arguments(argv)
  devices.use_all()
  given = dict(
    model=_MODEL.value,
    suspects=_SUSPECTS.value,
    reference=_REFERENCE.value,
    reference_model=_REFERENCE_MODEL.value,
    held_back=_HELD_BACK.value,
    suspects_groups=_SUSPECTS_GROUPS.value,
    reference_groups=_REFERENCE_GROUPS.value,
    lora=_LORA.value,
    lora_scale=_LORA_SCALE.value,
    **_CONFIG.value.to_dict(),
  )
  if _DRY_RUN.value:
    inputs = prepare(**given)
    print("\n".join(dossier.checks(to_plain(inputs.gates), inputs.notes)))
    print(estimate(inputs))
    return
  with command.ending_in_one_line(f"the rows in {_WORKDIR.value}"):
    result = audit(workdir=_WORKDIR.value, **given)
    page = result.save(_WORKDIR.value)
  print(result)
  logging.info("wrote %s", page)
  if result.evidence is None:
    sys.exit(NO_VERDICT)


if __name__ == "__main__":
  flags.mark_flags_as_required(["model", "suspects", "workdir"])
  command.run(main)

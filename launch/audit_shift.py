"""How often an audit finds evidence in tracks that are merely easier than others.

python -m launch.audit_shift [--study=results/mini] [--audits=200] [--shifts=0,0.4,0.8]

It scores nothing and reads stored rows of a study of the shipped music. Prints the
share of blind gates that held, and of audits that found evidence, with exact 95%
intervals.
How suspects are drawn is said in lsaprobe_jax/audit/shift.py.
"""

import pathlib

from absl import app, flags

from launch import command
from lsaprobe_jax.audit import AuditSettings, shift, simulation, simulation_tables

_STUDY = flags.DEFINE_string(
  "study",
  str(pathlib.Path(__file__).parents[1] / "results" / "mini"),
  "Folder of stored rows, with a reference model's.",
)
_AUDITS = flags.DEFINE_integer("audits", 200, "Of each kind.", lower_bound=1)
_SHIFTS = flags.DEFINE_list(
  "shifts",
  ["0", "0.4", "0.8", "1.2"],
  "By how many standard deviations of the feature suspects lie above the reference.",
)
_PERMUTATIONS = flags.DEFINE_integer("permutations", 999, "A p-value's.", 99)


def main(argv):
  """Simulates and prints."""
  command.refuse_arguments(argv)
  try:
    shifts = [float(number) for number in _SHIFTS.value]
  except ValueError as error:
    raise app.UsageError(f"--shifts: {error}") from error
  settings = AuditSettings().changed({"methods": simulation.METHODS})
  made = shift.simulate_shifts(
    simulation.read_study(_STUDY.value),
    settings,
    shifts=shifts,
    audits=_AUDITS.value,
    permutations=_PERMUTATIONS.value,
  )
  print(simulation_tables.format_shifts(made, alpha=settings.alpha))


if __name__ == "__main__":
  command.run(main)

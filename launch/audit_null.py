"""How often an audit finds evidence where there is none, and where there is some.

python -m launch.audit_null [--study=results/mini] [--audits=200]

It scores nothing and reads stored rows of a study. Prints the share of audits that end
with evidence, with its exact 95% interval, beside the rejections at the level that a
binomial law allows. What is dealt and audited, and what that cannot show, is said in
lsaprobe_jax/audit/simulation.py.
"""

import pathlib

from absl import app, flags

from launch import command
from lsaprobe_jax.audit import AuditSettings, simulation, simulation_tables

_STUDY = flags.DEFINE_string(
  "study",
  str(pathlib.Path(__file__).parents[1] / "results" / "mini"),
  "Folder of stored rows.",
)
_AUDITS = flags.DEFINE_integer("audits", 200, "Of each kind.", lower_bound=1)
_SUSPECTS = flags.DEFINE_list(
  "suspects", ["5", "10", "20"], "Numbers of trained tracks to find evidence in."
)
_PERMUTATIONS = flags.DEFINE_integer("permutations", 999, "A p-value's.", 99)


def main(argv):
  """Simulates and prints."""
  command.refuse_arguments(argv)
  try:
    trained = [int(number) for number in _SUSPECTS.value]
  except ValueError as error:
    raise app.UsageError(f"--suspects: {error}") from error
  settings = AuditSettings().changed({"methods": simulation.METHODS})
  made = simulation.simulate_null(
    simulation.read_study(_STUDY.value),
    settings,
    audits=_AUDITS.value,
    trained=trained,
    permutations=_PERMUTATIONS.value,
  )
  print(simulation_tables.format_null(made, alpha=settings.alpha))


if __name__ == "__main__":
  command.run(main)

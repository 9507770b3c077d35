"""The console script `lsaprobe`: audit, probe, convert and eval.

  lsaprobe audit --model=MODEL --suspects=FOLDER [--reference=FOLDER] --workdir=DIR
  lsaprobe probe --model=MODEL --audio=FILE
  lsaprobe convert --source=FILE --output=DIR
  lsaprobe eval --target=A=MODEL --target=B=MODEL --corpus=FOLDER --workdir=DIR

Each command is one call of the library; --help lists its options. What cannot be used
ends with status 1 and one line on stderr, an audit without a verdict with status 3.
"""

import argparse
import ast
import math
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from lsaprobe_jax import __version__
from lsaprobe_jax.errors import (
  ArgumentError,
  LsaProbeError,
  SettingError,
  out_of_memory,
)
from lsaprobe_jax.files import from_home
from lsaprobe_jax.text import printable

# Status of an audit that comes to no verdict.
NO_VERDICT = 3
# The longest clip, in seconds.
_HOURS = 4 * 3600


def main(argv: Sequence[str] | None = None) -> int:
  """Runs a command.

  Args:
    argv: what follows the program's name; that of the process by default.

  Returns:
    The exit status.
  """
  for stream in (sys.stdout, sys.stderr):
    # Names of files need not be text, and are printed all the same.
    if hasattr(stream, "reconfigure"):
      stream.reconfigure(errors="backslashreplace")
  args = _parser().parse_args(argv)
  for name, value in vars(args).items():
    setattr(args, name, from_home(value))
  try:
    return args.run(args)
  except ArgumentError as error:
    return _fail(f"--{error}")
  except SettingError as error:
    # A setting that is an option of the command is that option.
    name = re.match(r"[\w.]*", str(error))[0]
    return _fail(f"--{error}" if hasattr(args, name) else f"--set {error}")
  except (MemoryError, RuntimeError) as error:
    if not out_of_memory(error):
      raise
    return _fail("out of memory; the same command goes on from what is on the disk")
  except (LsaProbeError, OSError) as error:
    return _fail(str(error))


class _Parser(argparse.ArgumentParser):
  """A parser that refuses a command line in one line, with status 1."""

  def error(self, message: str) -> NoReturn:
    """Ends the process."""
    sys.exit(_fail(f"{message} ({self.prog} --help lists the options)"))


def _fail(message: str) -> int:
  lines = (line.strip() for line in message.splitlines())
  print(f"error: {printable(' '.join(filter(None, lines)))}", file=sys.stderr)
  return 1


def _parser() -> argparse.ArgumentParser:
  parser = _Parser(
    prog="lsaprobe", description="Membership audits of music diffusion models."
  )
  parser.add_argument("--version", action="version", version=__version__)
  commands = parser.add_subparsers(required=True, metavar="COMMAND")
  _add_audit(commands)
  _add_probe(commands)
  _add_convert(commands)
  _add_eval(commands)
  return parser


def _command(commands, name: str, run: Callable[[Any], int], text: str):
  parser = commands.add_parser(name, help=text, description=text)
  parser.set_defaults(run=run)
  return parser


def _add_settings(parser) -> None:
  parser.add_argument(
    "--set",
    action="append",
    default=[],
    metavar="NAME=VALUE",
    help="change a setting by its dotted name, such as search.eta_max=0.5",
  )


def _add_dry_run(parser) -> None:
  text = "check the inputs and estimate time and memory; write nothing"
  parser.add_argument("--dry_run", action="store_true", help=text)


def _add_lora(parser, text: str) -> None:
  parser.add_argument("--lora", help=text)
  scale = _number(0, 100)
  parser.add_argument("--lora_scale", type=scale, default=1.0, help="multiplies it")


def _number(least: float, most: float, kind: type = float) -> Callable[[str], Any]:
  """Makes what reads an option that is a number from `least` to `most`."""

  def read(text: str) -> Any:
    value = kind(text)
    if not least <= value <= most:
      raise argparse.ArgumentTypeError(f"{text}: from {least:g} to {most:g}")
    return value

  # What argparse calls text that is no number.
  read.__name__ = "whole number" if kind is int else "number"
  return read


def _names(text: str) -> list[str]:
  return [name for name in text.split(",") if name]


def _settings(pairs: Sequence[str]) -> dict[str, Any]:
  """Settings by dotted names, their values as Python writes them, or plain text."""
  found = {}
  for pair in pairs:
    name, equals, text = pair.partition("=")
    if not (name and equals):
      raise ArgumentError(f"set={pair}: write NAME=VALUE")
    try:
      found[name] = ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
      found[name] = text
  return found


def _use_devices() -> None:
  """Makes every CPU core a device and keeps compiled programs, before JAX starts."""
  from lsaprobe_jax import compilation_cache, parallel

  parallel.use_all_cpu_cores(parallel.usable_cores())
  compilation_cache.keep_programs()


def _add_audit(commands) -> None:
  text = "Was this music in the training set of this model? A dossier with a verdict."
  parser = _command(commands, "audit", _audit, text)
  parser.add_argument("--model", required=True, help="the model under audit")
  parser.add_argument("--suspects", required=True, help="folder of tracks, or a file")
  parser.add_argument(
    "--reference", help="folder of such tracks, surely not trained on"
  )
  parser.add_argument(
    "--held_back",
    help="folder of versions of the suspects that were not published, named as they are"
    " (several in sub-folders v1, v2, ...)",
  )
  parser.add_argument(
    "--canary_randomised",
    action="store_true",
    help="it was drawn at random which version was published",
  )
  parser.add_argument("--workdir", required=True, help="scores and the dossier go here")
  parser.add_argument("--reference_model", help="a model that saw neither side")
  _add_lora(parser, "a LoRA trained on the model, whose base is the reference model")
  groups = "only tracks of these groups of a built corpus, with commas"
  parser.add_argument("--suspects_groups", type=_names, help=groups)
  parser.add_argument("--reference_groups", type=_names, help=groups)
  _add_dry_run(parser)
  _add_settings(parser)


def _audit(args) -> int:
  from lsaprobe_jax import optional
  from lsaprobe_jax.audit import audit, estimate, prepare, to_plain
  from lsaprobe_jax.report import dossier

  names = ("model", "suspects", "reference", "reference_model", "held_back")
  names += ("suspects_groups", "reference_groups", "lora", "lora_scale")
  settings = _settings(args.set)
  if taken := {*names, "workdir"}.intersection(settings):
    raise ArgumentError(f"set={min(taken)}=...: give --{min(taken)}=...")
  given = {name: getattr(args, name) for name in names} | settings
  if args.canary_randomised:
    given["canary_randomised"] = True
  _use_devices()
  if args.dry_run:
    inputs = prepare(**given)
    print("\n".join(dossier.checks(to_plain(inputs.gates), inputs.notes)))
    print(estimate(inputs))
    return 0
  # The dossier comes last; what it takes is asked for before anything is scored.
  optional.require("jinja2", "audit")
  result = audit(workdir=args.workdir, **given)
  result.save(args.workdir)
  print(result)
  return 0 if result.evidence is not None else NO_VERDICT


def _add_probe(commands) -> None:
  text = "D against eta, and C_adv, of one clip. One clip proves nothing."
  parser = _command(commands, "probe", _probe, text)
  parser.add_argument("--model", required=True, help="the model")
  parser.add_argument("--audio", required=True, help="an audio file")
  seconds, finite = _number(1e-3, _HOURS), _number(-math.inf, math.inf)
  parser.add_argument("--seconds", type=seconds, default=4.0, help="of the clip")
  start = _number(0, _HOURS)
  parser.add_argument("--start", type=start, default=0.0, help="where it begins, s")
  parser.add_argument("--t_ratio", type=finite, default=0.6, help="time over T")
  steps = _number(1, 1_000, int)
  parser.add_argument("--num_inference_steps", type=steps, default=10, help="S")
  parser.add_argument("--distance", default="mr_stft", help="the distance")
  parser.add_argument("--eta_max", type=finite, default=0.8, help="the largest budget")
  parser.add_argument("--tau", type=finite, help="the perceptual target")
  seed = _number(0, 2**31 - 1, int)
  parser.add_argument("--seed", type=seed, default=0, help="of the noise")


def _probe(args) -> int:
  from lsaprobe_jax import compilation_cache
  from lsaprobe_jax.models.trained import load_model
  from lsaprobe_jax.scoring.method import LSAProbe
  from lsaprobe_jax.scoring.one_clip import load_clip, probe_clip

  compilation_cache.keep_programs()
  model = load_model(args.model, num_inference_steps=args.num_inference_steps)
  clip = load_clip(
    args.audio,
    model.sample_rate,
    seconds=args.seconds,
    start=args.start,
    channels=model.channels,
  )
  probe = LSAProbe(
    distance=args.distance, t_ratio=args.t_ratio, eta_max=args.eta_max, tau=args.tau
  )
  print(probe_clip(model, probe, clip, seed=args.seed))
  return 0


def _add_convert(commands) -> None:
  text = "A published PyTorch checkpoint into a model folder."
  parser = _command(commands, "convert", _convert, text)
  parser.add_argument("--source", required=True, help=".pt file, folder, hf:owner/name")
  parser.add_argument("--output", required=True, help="the model folder")
  parser.add_argument("--prompt", help="text that a pipeline is conditioned on")
  parser.add_argument("--embedding", help="a .npy file to condition on instead")
  _add_lora(parser, "a LoRA to merge into the pipeline: its file or folder")


def _convert(args) -> int:
  from lsaprobe_jax.models.conversion import convert

  names = ("prompt", "embedding", "lora", "lora_scale")
  options = {name: getattr(args, name) for name in names}
  print(f"wrote {printable(convert(args.source, args.output, **options))}")
  return 0


def _add_eval(commands) -> None:
  text = "Scores clips under models and says how well members are told apart."
  parser = _command(commands, "eval", _eval, text)
  parser.add_argument(
    "--target",
    action="append",
    required=True,
    metavar="NAME=MODEL",
    help="a model; A and B of a cross-over, reference, or one of another name",
  )
  parser.add_argument("--corpus", required=True, help="its name, or a folder")
  parser.add_argument("--workdir", required=True, help="rows and the summary go here")
  parser.add_argument("--methods", default="lsa_probe", help="names, with commas")
  limit = _number(2, 10**9, int)
  parser.add_argument("--limit", type=limit, help="at most so many clips of each half")
  _add_dry_run(parser)
  _add_settings(parser)


def _eval(args) -> int:
  from lsaprobe_jax import attacks, search
  from lsaprobe_jax.scoring.evaluate import estimate_cost, evaluate
  from lsaprobe_jax.scoring.settings import Experiment, SearchSettings

  targets = {}
  for pair in args.target:
    name, equals, source = pair.partition("=")
    if not (name and equals and source) or name in targets:
      raise ArgumentError(f"target={pair}: write NAME=MODEL, each name once")
    targets[name] = source
  settings = Experiment.from_dict(
    {
      "targets": targets,
      "corpus": {"path": args.corpus},
      "part": "all",
      "methods": _names(args.methods),
      # At their own defaults, and there to be changed.
      "search": {name: {} for name in search.names()} | SearchSettings().options,
      "baselines": {name: {} for name in attacks.names()},
    }
  ).changed(_settings(args.set))
  _use_devices()
  if args.dry_run:
    print(estimate_cost(settings, args.limit))
    return 0
  print(evaluate(settings, args.workdir, limit=args.limit, progress=print))
  return 0


if __name__ == "__main__":
  sys.exit(main())

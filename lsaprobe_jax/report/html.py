"""The page's data as one HTML file that needs nothing else and runs nothing else."""

import base64
import hashlib
import json
import pathlib
from typing import Any

from lsaprobe_jax import optional
from lsaprobe_jax.strict_json import to_json
from lsaprobe_jax.text import printable, printable_leaves, rounded

_TEMPLATES = pathlib.Path(__file__).parent / "templates"

# What would end a script element, open a comment, or end a line of JavaScript.
_ESCAPES = {c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def render(page: dict[str, Any], sounds: dict[str, str]) -> str:
  """The page as HTML.

  Text is made printable (`text`), then escaped by Jinja2, and all data by
  `script_json`; a strict policy lets only this file's own script and style run, by
  their hashes, and loads nothing.

  Args:
    page: see `page.build`.
    sounds: see `walk.sounds`.
  """
  import markupsafe

  script = (_TEMPLATES / "page.js").read_text()
  page, sounds = printable_leaves((page, sounds))
  return _fill(
    "page.html",
    _source(script),
    page=page,
    # Our own file, hashed above, not data.
    script=markupsafe.Markup(script),
    data=markupsafe.Markup(script_json(page | {"sounds": sounds})),
  )


def render_dossier(dossier: dict[str, Any], figures: dict[str, str]) -> str:
  """The dossier of an audit as HTML, escaped likewise, without any script.

  Args:
    dossier: see `dossier.build`.
    figures: data URIs by name.
  """
  dossier = printable_leaves(dossier)
  return _fill("dossier.html", "'none'", page=dossier, figures=figures)


def _fill(template: str, scripts: str, **values: Any) -> str:
  jinja2 = optional.require("jinja2", "report")
  markupsafe = optional.require("markupsafe", "report")
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.filters |= {
    "auc": auc,
    "percent": percent,
    "rate": rate,
    "number": number,
  }
  style = (_TEMPLATES / "page.css").read_text()
  policy = (
    f"default-src 'none'; script-src {scripts}; style-src {_source(style)};"
    " img-src data:; media-src data:; base-uri 'none'; form-action 'none'"
  )
  try:
    return environment.get_template(template).render(
      policy=policy, style=markupsafe.Markup(style), **values
    )
  except jinja2.UndefinedError as error:
    # Only the shapes are checked beforehand where a file is as deep as a summary.
    raise ValueError(
      "a file of the folder does not hold what its command writes"
      f" ({printable(error)}); run that command again"
    ) from error


def script_json(value: Any) -> str:
  """JSON that can stand in a script element whatever text is in it."""
  text = json.dumps(to_json(value), allow_nan=False, separators=(",", ":"))
  return "".join(_ESCAPES.get(c, c) for c in text) if _unsafe(text) else text


def _unsafe(text: str) -> bool:
  return any(c in text for c in _ESCAPES)


def _source(text: str) -> str:
  """A source expression of a Content-Security-Policy: the hash of an inline element."""
  return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def auc(record: dict[str, Any]) -> str:
  """AUC with its interval."""
  text = f"{record['auc']:.3f}"
  if record["auc_ci"] is None:
    return f"{text} (no interval)"
  return f"{text} [{record['auc_ci'][0]:.3f}, {record['auc_ci'][1]:.3f}]"


def percent(record: dict[str, Any], target: str) -> str:
  """TPR at a target FPR in percent, with its interval and its flag."""
  if record["tpr"][target] is None:
    return "not estimable"
  text = f"{100 * record['tpr'][target]:.1f}%"
  if record["tpr_ci"][target] is not None:
    low, high = record["tpr_ci"][target]
    text += f" [{100 * low:.0f}, {100 * high:.0f}]"
  return text + ("*" if record["flagged"][target] else "")


def rate(target: str) -> str:
  """A target FPR in percent."""
  return f"{100 * float(target):g}%"


def number(value: float | None, digits: int = 3) -> str:
  """A figure, or a dash where there is none."""
  return "-" if value is None else rounded(value, digits)

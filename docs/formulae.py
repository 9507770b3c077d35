"""Shows what docstrings set apart by indentation as they have it.

A paragraph of a docstring that is indented by two spaces is a formula or a command;
Markdown asks for four.
"""

import re

from griffe import Extension

_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields):$", re.MULTILINE)


class Formulae(Extension):
  """Indents such paragraphs further, up to the first section."""

  def on_object(self, *, obj, **kwargs):
    """Rewrites the docstring of whatever has one."""
    if obj.docstring is None:
      return
    text = obj.docstring.value
    section = _SECTION.search(text)
    end = section.start() if section else len(text)
    paragraphs = [_indent(p) for p in text[:end].split("\n\n")]
    obj.docstring.value = "\n\n".join(paragraphs) + text[end:]


def _indent(paragraph: str) -> str:
  lines = paragraph.strip("\n").split("\n")
  if not all(line.startswith("  ") for line in lines):
    return paragraph
  return re.sub("^(?=  )", "  ", paragraph, flags=re.MULTILINE)

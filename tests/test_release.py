"""What a release says of itself, held together."""

import pathlib
import re

import yaml

import lsaprobe_jax

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_changelog_begins_with_this_version():
  head = re.search(r"^## (\S+),", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
  assert head[1] == lsaprobe_jax.__version__


def test_the_citation_is_the_readmes():
  citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
  paper = citation["preferred-citation"]
  bibtex = re.sub(r"\s+", " ", README.partition("@inproceedings")[2])
  field = lambda name: re.search(rf"{name}\s*= \{{(.*?)\}}", bibtex)[1]
  assert paper["title"] == field("title")
  assert " and ".join(
    f"{author['family-names']}, {author['given-names']}" for author in paper["authors"]
  ) == field("author")
  assert str(paper["year"]) == field("year")
  assert paper["conference"]["name"] == field("booktitle")
  assert paper["identifiers"][0]["value"] == field("note")
  assert f"]({paper['url']})" in README
  assert citation["license"] in (ROOT / "setup.py").read_text()

""".ci/audit.py: what fails it, and that a network that is away does not."""

import importlib.util
import json
import pathlib
import subprocess

import pytest

PATH = pathlib.Path(__file__).parents[1] / ".ci" / "audit.py"


@pytest.fixture
def audit():
  spec = importlib.util.spec_from_file_location("audit", PATH)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def answers(monkeypatch, audit, out="", err=""):
  done = subprocess.CompletedProcess([], 1, out, err)
  monkeypatch.setattr(audit.subprocess, "run", lambda *args, **kwargs: done)


def advisory(name):
  hole = {"id": "PYSEC-1", "fix_versions": []}
  package = {"name": name, "version": "1.0", "vulns": [hole]}
  skipped = {"name": "other", "skip_reason": "not on PyPI"}
  return json.dumps({"dependencies": [package, skipped], "fixes": []})


def test_every_licence_is_on_the_list(monkeypatch, audit, capsys):
  answers(monkeypatch, audit, err="...\nConnectionError: no route to host\n")
  assert audit.main() == 0
  out = capsys.readouterr().out
  assert " 0 licences refused" in out
  assert "nothing is known of advisories: ConnectionError: no route to host" in out


def test_a_licence_that_is_not_on_the_list_is_refused(monkeypatch, audit, capsys):
  answers(monkeypatch, audit)
  monkeypatch.setattr(audit, "licence", lambda distribution: "AGPL-3.0")
  assert audit.main() == 1
  assert "licence not on the list: numpy: AGPL-3.0" in capsys.readouterr().out


def test_a_service_that_does_not_answer_is_said(monkeypatch, audit, capsys):
  def never(*args, timeout, **kwargs):
    raise subprocess.TimeoutExpired(args[0], timeout)

  monkeypatch.setattr(audit.subprocess, "run", never)
  assert audit.audit() == []
  assert "no answer in 120 s" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "status"), [("NumPy", 1), ("pytest", 0)])
def test_an_advisory_fails_it_for_what_the_package_needs(
  monkeypatch, audit, capsys, name, status
):
  answers(monkeypatch, audit, advisory(name))
  assert audit.main() == status
  out = capsys.readouterr().out
  assert "looked up for 1 of 2" in out
  assert ("(only the tests need it)" in out) == (not status)

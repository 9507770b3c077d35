"""What a file is that is not audio, or audio that is not read: told by its first bytes.

A wrong name is the commonest fault of a collection: a page of HTML that a download
left as song.mp3, AAC in an .mp3, a pointer of Git LFS. Each is told what it is and what
to do.
"""

import re

# How many bytes `foreign` looks at.
HEAD = 512
_AGAIN = "download it again"
_CONVERT = "convert it to flac or wav (ffmpeg -i IN OUT.flac)"
_UNPACK = "unpack it"
_REMOVE = "remove it"

# (bytes, where they stand, what the file is, what to do)
_MAGIC = (
  (b"ftyp", 4, "MP4 (m4a, mp4, mov: AAC or ALAC)", _CONVERT),
  (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", 0, "Windows Media (wma, asf)", _CONVERT),
  (b"wvpk", 0, "WavPack", _CONVERT),
  (b"MAC ", 0, "Monkey's Audio", _CONVERT),
  (b"TTA1", 0, "True Audio", _CONVERT),
  (b"MPCK", 0, "Musepack", _CONVERT),
  (b"MP+", 0, "Musepack", _CONVERT),
  (b"DSD ", 0, "DSD", _CONVERT),
  (b"FRM8", 0, "DSD", _CONVERT),
  (b"\x1a\x45\xdf\xa3", 0, "Matroska or WebM", _CONVERT),
  (b"#!AMR", 0, "AMR", _CONVERT),
  (b".RMF", 0, "RealMedia", _CONVERT),
  (b"FLV", 0, "Flash video", _CONVERT),
  (b"ADIF", 0, "AAC", _CONVERT),
  (b"\x0b\x77", 0, "AC-3", _CONVERT),
  (b"AVI ", 8, "AVI video", _CONVERT),
  (b"MThd", 0, "MIDI, a score and not a recording", "render it first"),
  (b"PK\x03\x04", 0, "a zip archive", _UNPACK),
  (b"Rar!", 0, "a RAR archive", _UNPACK),
  (b"7z\xbc\xaf", 0, "a 7-Zip archive", _UNPACK),
  (b"\x1f\x8b", 0, "compressed by gzip", _UNPACK),
  (b"%PDF", 0, "a PDF document", _REMOVE),
  (b"\x89PNG", 0, "a PNG image", _REMOVE),
  (b"\xff\xd8\xff", 0, "a JPEG image", _REMOVE),
  (b"GIF8", 0, "a GIF image", _REMOVE),
  (b"\x00\x05\x16\x07", 0, "what macOS keeps beside a file (AppleDouble)", _REMOVE),
  (b"version https://git-lfs", 0, "a pointer of Git LFS", "fetch it (git lfs pull)"),
)
# Suffixes of audio that is not read, beside those of `folder.SUFFIXES`.
UNREAD = {
  **dict.fromkeys((".mp4", ".m4b", ".m4v", ".mov", ".3gp", ".alac"), "MP4"),
  **dict.fromkeys((".mka", ".mkv", ".webm", ".weba"), "Matroska or WebM"),
  **dict.fromkeys((".asf", ".wmv"), "Windows Media"),
  **dict.fromkeys((".dsf", ".dff"), "DSD"),
  **dict.fromkeys((".ra", ".rm", ".ram"), "RealMedia"),
  **dict.fromkeys((".mpc", ".mpp"), "Musepack"),
  **dict.fromkeys((".mid", ".midi", ".kar"), "MIDI, a score and not a recording"),
  ".wv": "WavPack",
  ".ape": "Monkey's Audio",
  ".tta": "True Audio",
  ".tak": "TAK",
  ".ofr": "OptimFROG",
  ".shn": "Shorten",
  ".ac3": "AC-3",
  ".dts": "DTS",
  ".amr": "AMR",
  ".spx": "Speex",
  ".flv": "Flash video",
  ".avi": "AVI video",
}


def foreign(head: bytes) -> tuple[str, str] | None:
  """Says what a file is that cannot be audio that we read.

  Args:
    head: the first `HEAD` bytes.

  Returns:
    What it is and what to do, or None where it may be audio.
  """
  for magic, at, kind, mend in _MAGIC:
    if head[at : at + len(magic)] == magic:
      return f"it is {kind}", mend
  # A frame of AAC begins as one of MP3 does, but its layer is 0.
  if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
    return "it is AAC", _CONVERT
  text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
  if text.startswith((b"<!doctype html", b"<html", b"<head", b"<script")):
    return "it is an HTML page, not audio", _AGAIN
  if text.startswith((b"<?xml", b"<svg")):
    return "it is XML, not audio", _AGAIN
  if re.match(rb'[{\[]\s*["{\[]', text):
    return "it is JSON, not audio", _AGAIN
  return None


def unknown(head: bytes) -> tuple[str, str] | None:
  """Says what a file may be that nothing could decode; None where that is not known."""
  if head.startswith(b"ID3"):
    return "an ID3 tag and no audio that is known", f"{_CONVERT}, or {_AGAIN}"
  if not head.strip(b"\x00"):
    return "nothing but zeros", _AGAIN
  if head.startswith(b"OggS"):
    for mark, kind in ((b"Speex", "Speex"), (b"theora", "Theora video")):
      if mark in head:
        return f"it is {kind}", _CONVERT
  if all(byte >= 0x20 or byte in b"\t\r\n\x0c" for byte in head):
    return "it is text, not audio", _AGAIN
  return None

"""Rendering of dot text as PNG, SVG or PDF, by ``dot`` of the system or of ``django-rpc[viz]``."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import struct
import subprocess
from pathlib import Path

from django_rpc.graph.errors import MissingExtra

__all__ = ["FORMATS", "find_dot", "render"]

FORMATS = ("png", "svg", "pdf", "jpeg", "dot")
_SECONDS = 120


def find_dot() -> list[str]:
    """Return the programs that render dot text: ``dot`` of the system, then ``graphviz-pure`` of the wheel."""
    paths = [shutil.which("dot"), shutil.which("graphviz-pure")]
    try:
        files = importlib.metadata.files("graphviz-pure") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    # A virtual environment that is not activated is not on PATH.
    paths += [os.fspath(file.locate()) for file in files if Path(file).stem == "graphviz-pure"]
    return list(dict.fromkeys(path for path in paths if path is not None and Path(path).exists()))


def render(dot: str, format: str = "png", seconds: float = _SECONDS) -> bytes:
    """Return the picture of dot text; drawing stops after ``seconds``.

    >>> b"<svg" in render("digraph { a -> b }", "svg")
    True

    Raises MissingExtra without a program that draws, and ValueError for an unknown format and for text that is not dot.
    """
    if format not in FORMATS:
        raise ValueError(f"{format!r} is no format of a picture: use one of {', '.join(FORMATS)}.")
    if format == "dot":
        return dot.encode()
    programs = find_dot()
    if not programs:
        raise MissingExtra(
            'Drawing needs Graphviz: pip install "django-rpc[viz]" (which installs it), or install Graphviz itself.'
        )
    errors = []
    for program in programs:  # dot of the system may lack the plugin for a format
        try:
            return _pdf(program, dot, seconds) if format == "pdf" else _run(program, dot, seconds, "-T" + format)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            errors.append(f"{Path(program).name}: {error}")
    raise ValueError("The graph could not be drawn: " + "; ".join(errors))


def _run(program: str, dot: str, seconds: float, *flags: str) -> bytes:
    done = subprocess.run([program, *flags], input=dot.encode(), capture_output=True, timeout=seconds, check=False)
    if done.returncode or not done.stdout:
        raise ValueError(done.stderr.decode(errors="replace").strip() or f"it ended with {done.returncode}")
    return done.stdout


def _pdf(program: str, dot: str, seconds: float) -> bytes:
    if not Path(program).stem.startswith("graphviz-pure"):
        return _run(program, dot, seconds, "-Tpdf")
    # graphviz-pure writes no PDF, so the PDF is a page with its picture.
    return pdf_page(_run(program, dot, seconds, "-Tjpeg", f"-Gdpi={_DPI}"), _DPI)


_DPI = 200


def pdf_page(jpeg: bytes, dpi: int) -> bytes:
    """Return a PDF with one page, which contains only a JPEG picture with ``dpi`` dots per inch.

    Raises ValueError for data that is not a JPEG picture.
    """
    width, height, colours = _jpeg_size(jpeg)
    page = (width * 72 / dpi, height * 72 / dpi)
    drawing = b"q %.2f 0 0 %.2f 0 0 cm /I Do Q" % page
    space = {1: b"DeviceGray", 3: b"DeviceRGB", 4: b"DeviceCMYK"}[colours]
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %.2f %.2f] /Contents 4 0 R "
        b"/Resources << /XObject << /I 5 0 R >> >> >>" % page,
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawing), drawing),
        b"<< /Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /%s /BitsPerComponent 8 "
        b"/Filter /DCTDecode /Length %d >>\nstream\n%s\nendstream" % (width, height, space, len(jpeg), jpeg),
    ]
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)


def _jpeg_size(jpeg: bytes) -> tuple[int, int, int]:
    """Return width, height and number of colours, from the frame header (any SOF marker) of a JPEG file."""
    if jpeg[:2] != b"\xff\xd8":
        raise ValueError("This is no JPEG picture.")
    at = 2
    while at + 10 <= len(jpeg):
        marker, length = jpeg[at + 1], struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width, colours = struct.unpack(">HHB", jpeg[at + 5 : at + 10])
            return width, height, colours
        at += 2 + length
    raise ValueError("This JPEG picture has no frame.")

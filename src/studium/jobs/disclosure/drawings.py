"""SVG and plain text: drawings without anything that runs or fetches; texts that hide nothing.

A drawing is read by a parser that refuses entities and is written anew from lists of allowed
elements and attributes, so that what we do not know does not pass.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from studium.jobs.disclosure.folder import has_hidden
from studium.jobs.disclosure.model import Reason, Refused

SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_ELEMENTS = frozenset(
    {
        "svg", "g", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon",
        "text", "tspan", "textPath", "title", "desc", "defs", "use", "symbol", "clipPath",
        "mask", "pattern", "marker", "linearGradient", "radialGradient", "stop", "style",
    }
)  # fmt: skip
_SKIPPED = frozenset({"metadata"})
"""Dropped with all that is in it: what plotting libraries say of themselves."""
_REFERENCES = frozenset({"href", f"{_XLINK} href"})
_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*")
_FETCHES = re.compile(
    r"@|\\|expression|javascript|behaviou?r|binding|data:|https?:|//|image-set|src\(|element\(",
    re.IGNORECASE,
)
_URL = re.compile(r"url\(\s*+['\"]?+\s*+(?!#)", re.IGNORECASE)
_MAX_DEPTH = 64
_MAX_ELEMENTS = 200_000


def clean_svg(source: Path, target: Path) -> None:
    """Write the drawing at ``source`` anew to ``target``.

    Raises Refused: ``wrong type`` for what is not SVG, ``unsafe file`` for scripts, event
    handlers, foreign objects, pictures, animations, entities and references out of the file.
    """
    writer = _Writer()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = writer.start
    parser.EndElementHandler = writer.end
    parser.CharacterDataHandler = writer.text
    parser.EntityDeclHandler = writer.entity
    parser.StartDoctypeDeclHandler = writer.doctype
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    try:
        parser.Parse(source.read_bytes(), True)
    except expat.ExpatError as error:
        raise Refused(Reason.TYPE, detail=f"not XML: {error}") from None
    target.write_text("".join(writer.out) + "\n", "utf-8")


class _Writer:
    """Takes what the parser finds and writes what is allowed."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self._open: list[str] = []
        self._count = 0
        self._skipping = 0
        self._style: list[str] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._open[-1:] == ["style"]:
            raise _unsafe("an element in a style sheet")  # whose text it would part
        if self._skipping or self._open:
            if self._skipping or name.rpartition(" ")[2] in _SKIPPED:
                self._skipping += 1
                return
        elif name != f"{SVG} svg":
            raise Refused(Reason.TYPE, detail="its root is not svg")
        space, _, local = name.rpartition(" ")
        if space != SVG or local not in _ELEMENTS:
            raise _unsafe("an element that is not allowed")
        if len(self._open) >= _MAX_DEPTH or self._count > _MAX_ELEMENTS:
            raise Refused(Reason.SIZE, detail="too many elements, or too deep")
        own = f' xmlns="{SVG}"' if not self._open else ""
        self.out.append(f"<{local}{own}{self._attributes(attributes)}>")
        self._open.append(local)

    def _attributes(self, attributes: dict[str, str]) -> str:
        written = []
        for name, value in attributes.items():
            space, _, local = name.rpartition(" ")
            if name in _REFERENCES:
                if not re.fullmatch(r"#[\w.:-]{1,100}", value):
                    raise _unsafe("a reference out of the file")
                written.append(f" href={quoteattr(value)}")
            elif space == "http://www.w3.org/XML/1998/namespace":
                continue  # xml:space and xml:lang change nothing that is seen; xml:base would
            elif space or not _ATTRIBUTE.fullmatch(local):
                raise _unsafe("an attribute that is not known")
            elif local.lower().startswith("on"):
                raise _unsafe("an event handler")
            elif _FETCHES.search(value) or _URL.search(value) or has_hidden(value, "\n\t\r"):
                raise _unsafe("an attribute that may fetch or run something, or hides characters")
            else:
                written.append(f" {local}={quoteattr(value)}")
        return "".join(written)

    def end(self, name: str) -> None:
        if self._skipping:
            self._skipping -= 1
            return
        if self._open[-1] == "style":
            sheet = "".join(self._style)
            if _FETCHES.search(sheet) or _URL.search(sheet):
                raise _unsafe("a style sheet that may fetch or run something")
            self._style = []
        self.out.append(f"</{self._open.pop()}>")

    def text(self, text: str) -> None:
        if self._skipping or not self._open:
            return
        if self._open[-1] == "style":
            self._style.append(text)
        if has_hidden(text, "\n\t\r"):
            raise _unsafe("hidden characters")
        self.out.append(escape(text))

    def entity(self, *declaration: object) -> None:
        raise _unsafe("an entity")

    def doctype(self, name: str, system: str | None, public: str | None, own: bool) -> None:
        # The usual one, by name, is dropped.
        if own:
            raise _unsafe("a document type of its own")


def clean_text(source: Path, target: Path) -> None:
    """Copy a text as it is if it is UTF-8 and hides nothing."""
    try:
        text = source.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(Reason.TYPE, detail="not UTF-8") from None
    if has_hidden(text, "\n\t\r"):
        raise _unsafe("control, bidirectional or other hidden characters")
    target.write_text(text, "utf-8")


def _unsafe(why: str) -> Refused:
    return Refused(Reason.UNSAFE, detail=why)

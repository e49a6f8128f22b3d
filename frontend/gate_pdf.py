"""A gate's report as a PDF that can be read, kept and checked without this system."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from frontend.gate_words import Row

FONTS = Path(__file__).parent / "static" / "vendor" / "dejavu"
INK, SOFT, LINE = colors.HexColor("#1c1d22"), colors.HexColor("#5a5d66"), colors.HexColor("#d8d8d2")
WIDTH = A4[0] - 36 * mm - 12  # the frame keeps 6 points on either side


def render(*, title: str, verdict: str, facts: Sequence[Row], sections: Sequence[tuple[str, str, list[Row]]]) -> bytes:
    """Return a PDF: a title, a verdict, facts (name, value), and sections of (title, note, rows; the first names).

    Cells wrap, the first row of a table stands on each of its pages, and each page says which of how many it is.
    """
    for name, file in (("DejaVu", "DejaVuSans.ttf"), ("DejaVu-Bold", "DejaVuSans-Bold.ttf")):
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(name, FONTS / file))
    body = ParagraphStyle("body", fontName="DejaVu", fontSize=8.5, leading=12, textColor=INK)
    soft = ParagraphStyle("soft", parent=body, textColor=SOFT)
    head = ParagraphStyle("head", parent=body, fontName="DejaVu-Bold")
    large = ParagraphStyle("large", parent=head, fontSize=16, leading=21)
    middle = ParagraphStyle("middle", parent=head, fontSize=11, leading=15, spaceBefore=14, spaceAfter=4)
    story: list[Flowable] = [Paragraph(escape(title), large), Spacer(1, 4), Paragraph(escape(verdict), middle)]
    if facts:
        story.append(_table(facts, [0.28, 0.72], head, body, names_on_top=False))
    for heading, note, rows in sections:
        story.append(Paragraph(escape(heading), middle))
        if note:
            story += [Paragraph(escape(note), soft), Spacer(1, 4)]
        if len(rows) > 1:
            story.append(_table(rows, _shares(len(rows[0])), head, body, names_on_top=True))
    written = BytesIO()
    made = _("{title}, made {when}").format(title=title, when=date_format(timezone.localtime(), "DATETIME_FORMAT"))
    SimpleDocTemplate(
        written,
        pagesize=A4,
        title=title,
        leftMargin=18 * mm,
        rightMargin=18 * mm,
        topMargin=16 * mm,
        bottomMargin=18 * mm,
    ).build(story, canvasmaker=_numbering(made))
    return written.getvalue()


def _shares(columns: int) -> list[float]:
    """Return the columns' shares of the width: the first one holds words, the rest figures."""
    return [0.4, *[0.6 / (columns - 1)] * (columns - 1)]


def _table(
    rows: Sequence[Row], shares: Sequence[float], head: ParagraphStyle, body: ParagraphStyle, *, names_on_top: bool
) -> Table:
    def cell(text: Any, row: int, column: int) -> Paragraph:
        is_name = row == 0 if names_on_top else column == 0
        return Paragraph(escape(str(text)).replace("\n", "<br/>"), head if is_name else body)

    cells = [[cell(text, at, column) for column, text in enumerate(row)] for at, row in enumerate(rows)]
    look = TableStyle(
        [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LINEBELOW", (0, 0), (-1, -1), 0.5, LINE),
            ("LEFTPADDING", (0, 0), (0, -1), 0),
        ]
    )
    return Table(cells, [share * WIDTH for share in shares], style=look, repeatRows=int(names_on_top), splitInRow=1)


def _numbering(made: str) -> type:
    """Return a canvas that writes `made` and "3 / 7" below each page, which it knows only at the end."""
    from reportlab.pdfgen.canvas import Canvas

    class Numbered(Canvas):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._kept: list[dict[str, Any]] = []

        def showPage(self) -> None:
            self._kept.append(dict(self.__dict__))
            self._startPage()

        def save(self) -> None:
            for number, kept in enumerate(self._kept, start=1):
                self.__dict__.update(kept)
                self.setFont("DejaVu", 7)
                self.setFillColor(SOFT)
                self.drawString(18 * mm, 10 * mm, made)
                self.drawRightString(A4[0] - 18 * mm, 10 * mm, f"{number} / {len(self._kept)}")
                super().showPage()
            super().save()

    return Numbered

"""Markdown of prompts and answers as HTML that cannot run, load or pretend anything.

Two walls: markdown-it escapes raw HTML (``html=False``), and nh3 keeps only the tags and attributes listed here, so
that a mistake in either one is not a hole. Images are shown as their alternative text: one from elsewhere would tell
its server who is looking at what, and which model wrote it.
"""

from __future__ import annotations

import nh3
from django.utils.html import escape
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from frontend import highlighting, mathematics

TAGS = {
    *mathematics.TAGS,
    *("p", "br", "hr", "blockquote", "pre", "code", "em", "strong", "s", "sub", "sup", "a", "ul", "ol", "li"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td", "span"),
}
# Each finds its own direction: one answer may hold lines in Arabic and in English.
BLOCKS = ("p", "li", "td", "th", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6")
ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}, **mathematics.ATTRIBUTES}
CLASSES = {"span": {"image-left-out", "formula", *highlighting.CLASSES}, **mathematics.CLASSES}
SCHEMES = {"http", "https", "mailto"}
# Beyond what any answer people read holds. The parser's time grows with the square of some marks, and a model that got
# stuck in a loop writes exactly that; such text is shown as it is.
LONGEST = 60_000
MOST_MARKS = {"[": 1_500, "*": 5_000, "_": 5_000, "~": 5_000, "|": 5_000}


def _image_as_text(self: RendererHTML, tokens: list[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    """Return the picture's alternative text, named as such."""
    alternative = self.renderInlineAsText(tokens[index].children, options, env)
    return f'<span class="image-left-out">[picture left out: {escape(alternative)}]</span>'


def _code(self: RendererHTML, tokens: list[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    """Return a fenced block, coloured when its first word names a language."""
    language = tokens[index].info.split(maxsplit=1)[:1]
    colours = highlighting.highlighted(tokens[index].content, "".join(language), env["code"])
    return f"<pre><code>{colours}</code></pre>\n"


def _renderer() -> MarkdownIt:
    # `breaks`: models end lines where they mean to; `maxNesting` bounds what hostile nesting can cost.
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "breaks": True, "maxNesting": 40})
    parser.enable(["table", "strikethrough"])
    parser.add_render_rule("image", _image_as_text)
    parser.add_render_rule("fence", _code)
    mathematics.add_to(parser)
    return parser


_PARSER = _renderer()
_CLEANER = nh3.Cleaner(
    tags=TAGS,
    attributes=ATTRIBUTES,
    url_schemes=SCHEMES,
    link_rel="noopener noreferrer nofollow",
    allowed_classes=CLASSES,
    tag_attribute_values={"span": {"tabindex": {"0"}}},
    strip_comments=True,
    # A relative link would lead into our own pages, under words that a model chose.
    url_relative="deny",
    set_tag_attribute_values={
        "a": {"target": "_blank"},
        "math": {"dir": "ltr"},  # also in a paragraph that is read from right to left
        **{tag: {"dir": "auto"} for tag in BLOCKS},
        # These scroll sideways when they are wide, and not everybody has a wheel.
        **{tag: {"tabindex": "0"} for tag in ("pre", "table")},
    },
)


def render(text: str, *, below: int = 3) -> str:
    """Return `text` as clean HTML; as plain text when it is longer than any answer or has absurdly many marks.

    Its headings become those of a section whose own heading has level `below`, so that the outline of the page holds.
    """
    if len(text) > LONGEST or any(text.count(mark) > most for mark, most in MOST_MARKS.items()):
        # The first line end after <pre> belongs to the markup.
        return f'<pre dir="auto" tabindex="0">\n{escape(text)}</pre>'
    env: EnvType = {"code": highlighting.Budget(), "formulas": mathematics.Budget()}
    tokens = _PARSER.parse(text, env)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + below)}"
    return _CLEANER.clean(_PARSER.renderer.render(tokens, _PARSER.options, env))

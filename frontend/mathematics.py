r"""The formulas of an answer: LaTeX between ``$ $``, ``\( \)``, ``$$ $$`` or ``\[ \]`` as MathML, which browsers draw.

No script and no font from elsewhere. What cannot be read as LaTeX is shown as it was written, and so are amounts of
money. The converter is native code that recurses, so what it is given is bounded in length and in depth.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.utils.html import escape
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from math_core import LatexError, LatexToMathML

# Characters of one formula, and how deep its braces may nest: no formula that people read comes near.
LONGEST = 2_000
DEEPEST = 60
# Characters of MathML per answer. One formula gives about thirty times its own length.
MOST_MARKUP = 300_000

TAGS = {
    *("math", "mrow", "mi", "mn", "mo", "ms", "mtext", "mspace", "mfrac", "msqrt", "mroot", "mphantom", "menclose"),
    *("msub", "msup", "msubsup", "munder", "mover", "munderover", "mmultiscripts", "mprescripts", "mpadded", "mstyle"),
    *("mtable", "mtr", "mtd"),
}
_SWITCHES = {"displaystyle", "scriptlevel"}
_OPERATOR = {"form", "stretchy", "symmetric", "largeop", "movablelimits", "lspace", "rspace", "minsize", "maxsize"}
ATTRIBUTES: dict[str, set[str]] = {
    "math": {"display", "alttext"},
    "mo": _OPERATOR,
    "mi": {"mathvariant"},
    "mspace": {"width"},
    "mfrac": {"linethickness", *_SWITCHES},
    "mover": {"accent"},
    "munder": {"accentunder"},
    "munderover": {"accent", "accentunder"},
    "menclose": {"notation"},
    **dict.fromkeys(("mrow", "mstyle", "mtable"), _SWITCHES),
}
CLASSES = {"mtd": {"is-left", "is-right", "has-line"}}

_CONVERTER = LatexToMathML(fancy_error=False, max_expansions=100)
_DEFINES = re.compile(r"\\(?:(?:re|provide)?newcommand|[egx]?def|let|DeclareMathOperator)\b")
_NEST = re.compile(r"[{[]|\\(?:begin|left)\b|([}\]]|\\(?:end|right)\b)")
# Commands that take what follows them nest without a brace.
_CHAIN = re.compile(r"(?:\\[a-zA-Z]++\s*+){40}")
# Our policy for content allows no inline styles; these are the ones that mean something.
_STYLE = re.compile(r' style="([^"]*)"')

_INLINE = {"\\(": "\\)", "\\[": "\\]", "$$": "$$"}
_ENVIRONMENT = re.compile(r"\\begin\{((?:align|equation|gather|multline)\*?)\}")
# Between dollars, what begins with a digit and has a word but no mark of TeX is prose about money, such as "5 (US".
_MARK = re.compile(r"[\\^_{}=<>+]")
_WORD = re.compile(r"[\s(][^\W\d_]{2}")


@dataclass
class Budget:
    """What is left for the formulas of one answer."""

    markup: int = MOST_MARKUP


def mathml(tex: str, *, display: bool, budget: Budget) -> str | None:
    """Return `tex` as MathML and draw on `budget`; None when it is no LaTeX that can be drawn, or too much of it."""
    if not tex.strip() or len(tex) > LONGEST or budget.markup <= 0 or _DEFINES.search(tex) or _is_deep(tex):
        return None
    try:
        made = _CONVERTER.convert_with_local_state(tex, displaystyle=display)
    except LatexError:
        return None
    budget.markup -= len(made)
    if budget.markup < 0:
        return None
    # The source is what a program says that cannot read MathML.
    return _STYLE.sub(_class_for, made).replace("<math", f'<math alttext="{escape(tex.strip())}"', 1)


def add_to(parser: MarkdownIt) -> None:
    """Teach `parser` formulas. Its `env` must hold a `Budget` under "formulas"."""
    parser.inline.ruler.before("escape", "formula", _inline)
    interrupted = ["paragraph", "reference", "blockquote", "list"]
    parser.block.ruler.before("fence", "formula_block", _block, {"alt": interrupted})
    parser.add_render_rule("formula", _rendered)
    parser.add_render_rule("formula_block", _rendered)


def _is_deep(tex: str) -> bool:
    if _CHAIN.search(tex):
        return True
    depth = 0
    for found in _NEST.finditer(tex):
        depth += -1 if found[1] else 1
        if depth > DEEPEST:
            return True
    return False


def _class_for(style: re.Match[str]) -> str:
    names = [name for name, mark in (("is-left", "align: left"), ("is-right", "align: right")) if mark in style[1]]
    if "border-right" in style[1]:
        names.append("has-line")
    return f' class="{" ".join(names)}"' if names else ""


def _inline(state: StateInline, silent: bool) -> bool:
    r"""Read ``$x$``, ``\(x\)``, ``$$x$$`` or ``\[x\]`` inside a paragraph."""
    src, start = state.src, state.pos
    if src[start] not in "$\\":
        return False
    opener = src[start : start + 2]
    closer = _INLINE.get(opener, "$")
    if closer == "$":
        if src[start] != "$":
            return False
        opener = "$"
    begin = start + len(opener)
    end = src.find(closer, begin, min(state.posMax, begin + LONGEST + len(closer)))
    while closer[0] == "$" and end > begin and src[end - 1] == "\\":
        end = src.find(closer, end + 1, min(state.posMax, begin + LONGEST + len(closer)))
    tex = src[begin:end] if end > begin else ""
    if not tex.strip() or "`" in tex or (closer == "$" and not _stands_alone(src, start, end, tex)):
        return False
    if not silent:
        token = state.push("formula", "math", 0)
        token.content, token.markup = tex, opener
        token.meta = {"closer": closer, "display": opener in ("$$", "\\[")}
    state.pos = end + len(closer)
    return True


def _stands_alone(src: str, start: int, end: int, tex: str) -> bool:
    """Return whether single dollars at `start` and `end` enclose a formula, not two amounts or names of variables."""
    before = src[start - 1] if start else " "
    after = src[end + 1] if end + 1 < len(src) else " "
    if before.isalnum() or before == "$" or after.isdigit() or after == "$" or tex[0].isspace() or tex[-1].isspace():
        return False
    if _MARK.search(tex):
        return True
    # "$n$th" is a formula, "$HOME/$USER" is none.
    return not (after.isalpha() and len(tex) > 2) and not (tex[0].isdigit() and _WORD.search(tex))


def _block(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    r"""Read lines from ``$$``, ``\[`` or ``\begin{align}`` to the line that ends with what closes it."""
    if state.is_code_block(start_line):
        return False
    first = state.src[state.bMarks[start_line] + state.tShift[start_line] : state.eMarks[start_line]].rstrip()
    environment = _ENVIRONMENT.match(first)
    if environment:
        opener, closer = "", f"\\end{{{environment[1]}}}"
    elif first.startswith(("$$", "\\[")):
        opener, closer = first[:2], _INLINE[first[:2]]
    else:
        return False
    begin = state.bMarks[start_line]
    if closer in first[len(opener) :].removesuffix(closer) or closer not in state.src[begin + 2 : begin + LONGEST]:
        return False
    lines, line, size = [first[len(opener) :]], start_line, 0
    while not lines[-1].endswith(closer):
        line += 1
        size += len(lines[-1])
        if line >= end_line or state.isEmpty(line) or state.sCount[line] < state.blkIndent or size > LONGEST:
            return False
        lines.append(state.getLines(line, line + 1, state.sCount[line], False).rstrip())
        if closer in lines[-1].removesuffix(closer):
            return False  # something stands behind the end: a paragraph, in which the formula is found again
    tex = "\n".join(lines)
    if opener:
        tex = tex[: -len(closer)]
    if not tex.strip():
        return False
    if not silent:
        token = state.push("formula_block", "math", 0)
        token.block, token.map = True, [start_line, line + 1]
        token.content, token.markup = tex, opener
        token.meta = {"closer": closer if opener else "", "display": True}
    state.line = line + 1
    return True


def _rendered(self: RendererHTML, tokens: list[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    """Return the formula, or its source as code."""
    token = tokens[index]
    made = mathml(token.content, display=token.meta["display"], budget=env["formulas"])
    if made is None:
        source = escape(f"{token.markup}{token.content}{token.meta['closer']}")
        return f"<pre><code>{source}</code></pre>\n" if token.block else f"<code>{source}</code>"
    if not token.meta["display"]:
        return made
    # Focusable, because a wide formula scrolls sideways.
    made = f'<span class="formula" tabindex="0">{made}</span>'
    return f"<p>{made}</p>\n" if token.block else made

r"""Formulas are drawn, money is left alone, and what no one can draw stands there as it was written."""

from __future__ import annotations

import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontend.markdown import ATTRIBUTES, BLOCKS, CLASSES, TAGS, render
from frontend.mathematics import LONGEST, MOST_MARKUP, Budget, mathml

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("written", ["$x^2$", r"\(x^2\)", "**so** $x^2$.", "$x^2$-th", "($x^2$)", "a\n$x^2$\nb"])
def test_a_formula_in_a_line(written: str) -> None:
    html = render(written)
    assert '<math alttext="x^2" dir="ltr"><msup><mi>x</mi><mn>2</mn></msup></math>' in html


@pytest.mark.parametrize(
    "written",
    [
        "$$x^2$$",
        r"\[x^2\]",
        "$$\nx^2\n$$",
        "\\[\nx^2\n\\]",
        "so\n$$\nx^2\n$$\nthen",
        "- a\n  \\[\n  x^2\n  \\]",
        "> $$x^2$$",
    ],
)
def test_a_formula_of_its_own(written: str) -> None:
    html = render(written)
    assert '<span class="formula" tabindex="0"><math alttext="x^2" display="block" dir="ltr"><msup>' in html


def test_lines_of_a_formula_are_no_list_and_no_heading() -> None:
    html = render("$$\na\n+ b\n- c\n=\n# d_{i}\n$$")
    assert "<li" not in html
    assert "<h" not in html
    html = render("\\begin{align*}\na &= b \\\\\n  &= c\n\\end{align*}")
    assert html.count("<mtr>") == 2
    assert '<mtd class="is-right"><mi>a</mi></mtd><mtd class="is-left"><mo>=</mo>' in html


@pytest.mark.parametrize(
    "written",
    [
        *("$5 and $10", "$5-$10", "$5 (US$)", "between $1.50 and $2", "US$5, A$6", "$100,000 or 5$", r"\$5 and \$6"),
        *("$HOME/$USER", "the $ sign and the $ sign", "`$x$` and `$y$`", "$x `$`", "$ x $", "$$ $$", r"\\(x\\)"),
        *(
            "```\n$x$\n```",
            "    $x$",
            "$5 to $10 a month, or 5$ a week",
            "cost: $5; then 2*$6",
            "$",
            "$$",
            "\\(",
            "\\[\n",
        ),
    ],
)
def test_money_and_variables_are_left_alone(written: str) -> None:
    assert "<math" not in render(written)


def test_a_formula_beside_money() -> None:
    html = render("It costs $5 (US$), for $n$ of them $5n$, in all $10.")
    assert html.count("<math") == 2
    assert "It costs $5 (US$), for <math" in html
    assert html.rstrip().endswith("</math>, in all $10.</p>")


def test_what_is_no_latex_is_shown_as_it_was_written() -> None:
    assert render(r"a $\nonsense{x}$ b") == '<p dir="auto">a <code>$\\nonsense{x}$</code> b</p>\n'
    assert render("$$\n\\frac{1}{\n$$") == '<pre tabindex="0"><code>$$\n\\frac{1}{\n$$</code></pre>\n'
    assert render(r"\(\newcommand{\a}{\a\a}\a\)").startswith('<p dir="auto"><code>\\(\\newcommand')


@pytest.mark.parametrize(
    "tex",
    [
        r"\href{javascript:alert(1)}{x}",
        r"\url{https://evil.example}",
        r"\text{<img src=x onerror=alert(1)>}",
        r'\text{"><script>alert(1)</script>}',
        r"\color{red}{x}",
        r"\includegraphics{https://evil.example/x.png}",
        r"\begin{align}\label{a\"b}x\end{align}",
        r"\unicode{x3C}script",
        r"\class{site-header}{x}\cssId{main}{y}\style{position:fixed}{z}",
        r"\hspace{9999em}\raise 99em{x}\rule{99em}{99em}",
        r"\text{</math><script>alert(1)</script>}",
    ],
)
def test_a_formula_neither_links_nor_runs(tex: str) -> None:
    for written in (f"${tex}$", f"$$\n{tex}\n$$", f"\\({tex}\\)"):
        check_clean(render(written))


def test_a_bound_holds_for_each_formula_and_for_all() -> None:
    assert mathml("x" * LONGEST, display=False, budget=Budget())
    assert mathml("x" * (LONGEST + 1), display=False, budget=Budget()) is None
    assert mathml("x", display=False, budget=Budget(markup=0)) is None
    html = render("$x'$ " * 10_000)
    assert 1000 < html.count("<math") < MOST_MARKUP / 30


HOSTILE = [
    *(
        "{" * 2000,
        "{" * 1000 + "}" * 1000,
        r"\left(" * 330,
        r"\frac1" * 330,
        r"\not" * 500,
        r"\sqrt[" * 330,
        "x^{" * 600,
    ),
    *(
        r"\hat " * 390 + "x",
        r"\begin{matrix}" * 140,
        r"\color{red}{" * 160,
        "[" * 2000,
        r"\bm " * 490 + "x",
        r"\middle|" * 99,
    ),
    *("'" * 2000, "&" * 2000, r"\\" * 900, "^" * 2000, "x_" * 999, r"\text{" * 300, r"\def\a{\a}\a", r"\let\a\a\a"),
]


def test_deep_nesting_cannot_exhaust_the_stack_of_a_thread() -> None:
    """The converter recurses in native code, where the end of the stack is the end of the process."""
    code = (
        "import sys, threading; from django.conf import settings; settings.configure()\n"
        "from frontend.mathematics import Budget, mathml\n"
        f"def convert():\n    for tex in {HOSTILE!r}: mathml(tex, display=True, budget=Budget())\n    print('alive')\n"
        # A sixteenth of what threads have on Linux.
        "threading.stack_size(512 * 1024); t = threading.Thread(target=convert); t.start(); t.join()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "alive\n", done.stderr


@pytest.mark.parametrize(
    "loop",
    ["$", "$$", "$a ", "$$a\n", "\\(", "\\[", "\\[\n", "$1", "\\[\\] x\n", "$x$", "$\\foo$", "\\begin{align}\n", "$'$"],
)
def test_a_model_stuck_in_a_loop_costs_little(loop: str) -> None:
    text = (loop * 60_000)[:60_000]
    started = time.thread_time()
    assert render(text)
    assert time.thread_time() - started < 2


PIECES = [
    *(
        "$",
        "$$",
        "\\(",
        "\\)",
        "\\[",
        "\\]",
        "{",
        "}",
        "^",
        "_",
        "&",
        "\\\\",
        "\n",
        "\n\n",
        " ",
        "x",
        "2",
        "'",
        "`",
        "```",
        "|",
    ),
    *(
        "\\frac",
        "\\sqrt",
        "\\left(",
        "\\right)",
        "\\text{",
        "\\begin{align}",
        "\\end{align}",
        "\\begin{cases}",
        "\\end{cases}",
    ),
    *(
        "\\mathbb",
        "\\sum",
        "\\not",
        "\\color{red}",
        "\\href{javascript:a}",
        "<b>",
        "&lt;",
        '"',
        "- ",
        "> ",
        "1. ",
        "# ",
        "\\tag{1}",
    ),
    *(
        "\\begin{array}{c|c}",
        "\\hline",
        "\\operatorname",
        "\\limits",
        "\\overset",
        "\\hspace{1em}",
        "\\label{a}",
        "é",
        "\u202e",
    ),
]


@settings(deadline=None, max_examples=400)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=60).map("".join))
def test_whatever_is_written_ends_soon_and_clean(text: str) -> None:
    started = time.thread_time()
    html = render(text)
    assert time.thread_time() - started < 2
    check_clean(html)


@settings(deadline=None, max_examples=400)
@given(st.lists(st.sampled_from(PIECES[4:]), max_size=40).map("".join))
def test_whatever_stands_in_a_formula_ends_soon_and_clean(tex: str) -> None:
    check_clean(render(f"\\[{tex}\\]"))
    check_clean(render(f"$$\n{tex}\n$$"))


class _Checker(HTMLParser):
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        added = {"a": {"rel", "target"}, "math": {"dir"}, "span": {"tabindex"}, "pre": {"tabindex", "dir"}}
        added |= {"table": {"tabindex"}, **{block: {"dir"} for block in BLOCKS}}
        assert tag in TAGS
        for name, value in attrs:
            if name == "class":
                assert set((value or "").split()) <= CLASSES[tag]
            else:
                assert name in ATTRIBUTES.get(tag, set()) | added.get(tag, set()), (tag, name)
            if name == "href":
                assert (value or "").split(":")[0] in {"http", "https", "mailto"}


def check_clean(html: str) -> None:
    """Assert that only listed tags, attributes and classes come out."""
    checker = _Checker()
    checker.feed(html)
    checker.close()

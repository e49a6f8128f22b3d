"""Colours for code: the text stays what the model wrote, and hostile code costs little."""

from __future__ import annotations

import html
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pygments.lexers import find_lexer_class_by_name

from frontend.highlighting import CLASSES, LANGUAGES, LONGEST, PATIENCE, Budget, highlighted
from frontend.markdown import render

CSS = Path(__file__).parents[2] / "frontend" / "static" / "css"


def text_of(markup: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", markup))


def test_python_is_told_apart() -> None:
    assert render('```python\ndef f(x): return "a<b"  # why\n```') == (
        '<pre tabindex="0"><code><span class="k">def </span><span class="nf">f</span>(x): '
        '<span class="k">return </span><span class="s">"a&lt;b"  </span><span class="c"># why\n</span></code></pre>\n'
    )


@pytest.mark.parametrize("language", ["", "wibble", "python2000", '"><b>', "text", "matlab"])
def test_an_unknown_language_stays_plain(language: str) -> None:
    assert render(f"```{language}\nx = 1 < 2\n```") == '<pre tabindex="0"><code>x = 1 &lt; 2\n</code></pre>\n'


def test_every_language_is_known_to_pygments_under_its_name() -> None:
    for name, written in LANGUAGES.items():
        assert find_lexer_class_by_name(name)
        assert written


def test_code_longer_than_the_bound_stays_plain() -> None:
    budget = Budget()
    assert "span" in highlighted("x = 1\n", "py", budget)
    assert "span" not in highlighted("x = 1\n" * (LONGEST // 6), "py", budget)
    assert "span" in highlighted("x = 1\n", "py", budget)
    assert "span" not in highlighted("x = 1\n", "py", Budget(seconds=0))


def test_all_code_of_an_answer_draws_on_one_budget() -> None:
    block = "```py\n" + "x = 1\n" * (LONGEST // 12 + 1) + "```\n\n"
    assert render(block).count('class="m"') == LONGEST // 12 + 1
    assert render(block * 2).count('class="m"') == LONGEST // 12 + 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_model_stuck_in_a_loop_costs_little(language: str) -> None:
    highlighted("", language, Budget())
    for loop in ("\n", "a\n", '"', "<a ", "?a", "::"):
        code = (loop * LONGEST)[:LONGEST]
        started = time.thread_time()
        assert text_of(highlighted(code, language, Budget())) == code
        assert time.thread_time() - started < 20 * PATIENCE


@settings(deadline=None, max_examples=150)
@given(
    language=st.sampled_from(sorted(LANGUAGES)),
    code=st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
    | st.lists(st.sampled_from(["def ", "<", "&", "'", '"', "\n", "\r\n", "\ufeff", "\t", "{%", "a", "1", "\x0c"])).map(
        "".join
    ),
)
def test_the_text_is_kept_and_only_known_classes_come_out(language: str, code: str) -> None:
    markup = highlighted(code, language, Budget())
    assert text_of(markup) == code
    assert set(re.findall(r'class="(.*?)"', markup)) <= CLASSES
    assert re.sub(r'</?span( class="\w+")?>', "", markup).count("<") == 0


def test_every_class_has_a_style() -> None:
    rules = "\n".join(line for line in (CSS / "components.css").read_text().splitlines() if ".prose pre" in line)
    assert {name for name in CLASSES if not re.search(rf"\.{name}\b", rules)} == set()


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_every_colour_can_be_read_on_its_ground(theme: int) -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1 for text of this size."""
    found = re.findall(r"(--[\w-]+): light-dark\((#\w{6}), (#\w{6})\)", (CSS / "tokens.css").read_text())
    colours = {name: pair[theme] for name, *pair in found}
    ground = _luminance(colours["--sunken"])
    codes = [name for name in colours if name.startswith("--code-")] + ["--ink-soft", "--ink"]
    assert len(codes) == 8
    for name in codes:
        light, dark = sorted([_luminance(colours[name]), ground], reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, name

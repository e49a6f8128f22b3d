"""Model output is hostile until proven otherwise: nothing it contains may run, load or leave the page."""

from __future__ import annotations

import time
from html.parser import HTMLParser

import pytest

from frontend.markdown import ATTRIBUTES, BLOCKS, CLASSES, LONGEST, TAGS, render

ATTACKS = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<a href=javascript:alert(1)>x</a>",
    "<math><mtext></p><style><img src onerror=alert(1)></style></mtext></math>",
    "<body onload=alert(1)>",
    "<form action=//evil.example><input name=a><button>x</button></form>",
    "<style>@import url(//evil.example)</style>",
    "<link rel=stylesheet href=//evil.example>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<details open ontoggle=alert(1)>",
    "<template><script>alert(1)</script></template>",
    "<!--><script>alert(1)</script-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java&#x0A;script:alert(1))",
    "[x](&#x6A;avascript:alert(1))",
    "[x](javascript&colon;alert(1))",
    "[x]( javascript:alert(1))",
    "[x](\x01javascript:alert(1))",
    "[x](vbscript:msgbox(1))",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[x](data:image/svg+xml,<svg onload=alert(1)>)",
    "[x](blob:https://a/1)",
    "[x](file:///etc/passwd)",
    '[x](https://a.example" onmouseover="alert(1))',
    "[x](https://a.example 'title\" onmouseover=\"alert(1)')",
    "[x][1]\n\n[1]: javascript:alert(1)",
    "<javascript:alert(1)>",
    "![x](https://evil.example/track.png)",
    "![x](javascript:alert(1))",
    '![x" onerror="alert(1)](https://evil.example/x.png)',
    "![<img src=x onerror=alert(1)>](https://evil.example/x.png)",
    "[![x](https://evil.example/track.png)](https://a.example)",
    "![x][1]\n\n[1]: https://evil.example/track.png",
    "```html\n<script>alert(1)</script>\n```",
    '```"><script>alert(1)</script>\nx\n```',
    "`<script>alert(1)</script>`",
    "| <script>alert(1)</script> | [x](javascript:alert(1)) |\n|---|---|\n| <img src=x onerror=alert(1)> | y |",
    "# <img src=x onerror=alert(1)>",
    "> <iframe src=//evil.example>",
    "* <object data=//evil.example>\n* <embed src=//evil.example>",
    "~~<svg/onload=alert(1)>~~",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "\u202ejavascript:alert(1)",
    "<p style=\"background:url('javascript:alert(1)')\" id=main class=site-header>x</p>",
]


class _Reader(HTMLParser):
    """Collects every tag and attribute that a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def tags_of(html: str) -> list[tuple[str, dict[str, str | None]]]:
    reader = _Reader()
    reader.feed(html)
    return reader.tags


@pytest.mark.parametrize("attack", ATTACKS)
def test_markdown_an_attack_becomes_text(attack: str) -> None:
    added = {
        "a": {"rel", "target"},
        "span": {"class"},
        **{tag: {"dir"} for tag in BLOCKS},
        "pre": {"tabindex"},
        "table": {"tabindex"},
    }
    for tag, attributes in tags_of(render(attack)):
        assert tag in TAGS
        assert set(attributes) <= ATTRIBUTES.get(tag, set()) | added.get(tag, set())
        if tag == "a":
            assert attributes.get("href", "https:").split(":")[0] in {"http", "https", "mailto"}
            assert attributes["rel"] == "noopener noreferrer nofollow"
        if tag == "span":
            assert attributes["class"] in CLASSES["span"]


def test_what_people_write_is_rendered() -> None:
    html = render("**bold** *it* `x`\n\n- a\n- b\n\n```\nprint(1 < 2)\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n")
    assert "<strong>bold</strong>" in html
    assert '<li dir="auto">a</li>' in html
    assert '<pre tabindex="0"><code>print(1 &lt; 2)\n</code></pre>' in html
    assert '<td dir="auto">1</td>' in html


def test_a_link_opens_elsewhere_and_tells_nothing() -> None:
    html = render("[x](https://a.example)")
    assert html == (
        '<p dir="auto"><a href="https://a.example" target="_blank" rel="noopener noreferrer nofollow">x</a></p>\n'
    )


def test_a_picture_is_named_and_not_loaded() -> None:
    assert render("![a cat](https://a.example/cat.png)") == (
        '<p dir="auto"><span class="image-left-out">[picture left out: a cat]</span></p>\n'
    )


def test_headings_stand_below_the_one_they_are_under() -> None:
    assert render("# a\n### b") == '<h4 dir="auto">a</h4>\n<h6 dir="auto">b</h6>\n'
    assert render("# a", below=2) == '<h3 dir="auto">a</h3>\n'


def test_line_ends_are_kept_and_each_paragraph_finds_its_direction() -> None:
    assert render("one\ntwo\n\nשלום") == '<p dir="auto">one<br>\ntwo</p>\n<p dir="auto">שלום</p>\n'


@pytest.mark.parametrize(
    "text", ["> " * 5000 + "x", "[" * 50_000, "![a" * 10_000, "*a" * 20_000, "|a" * 20_000, "x" * 100_000]
)
def test_a_model_stuck_in_a_loop_costs_little(text: str) -> None:
    started = time.perf_counter()
    assert render(text)
    assert time.perf_counter() - started < 2


def test_text_that_is_not_parsed_is_still_escaped() -> None:
    assert render("<b>" * LONGEST).startswith('<pre dir="auto" tabindex="0">\n&lt;b&gt;')

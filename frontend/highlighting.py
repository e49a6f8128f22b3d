"""The code of an answer in colours: Pygments on the server, as spans of a few classes that css/components.css names.

Nobody vouches for what a model writes. So only languages that were tried with hostile text are coloured, only the
first LONGEST characters of an answer's code, and no longer than PATIENCE; what is beyond stays plain.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache

from django.utils.html import escape
from pygments.lexer import Lexer
from pygments.lexers import find_lexer_class_by_name
from pygments.token import Token, _TokenType

# Characters of code per answer: about 150 lines, which take some 20 ms.
LONGEST = 6_000
# Processor seconds per answer: some lexers take time that grows with the square of what a looping model writes.
PATIENCE = 0.1

# What people write after the fence, by the name that Pygments knows.
LANGUAGES = {
    "bash": ("bash", "sh", "shell", "zsh", "console", "shell-session", "shellsession", "terminal"),
    "c": ("c", "h"),
    "cpp": ("cpp", "c++", "cc", "cxx", "hpp", "cuda", "arduino"),
    "csharp": ("csharp", "c#", "cs"),
    "css": ("css",),
    "dart": ("dart",),
    "diff": ("diff", "patch", "udiff"),
    "docker": ("dockerfile", "docker"),
    "elixir": ("elixir", "ex", "exs"),
    "go": ("go", "golang"),
    "graphql": ("graphql",),
    "haskell": ("haskell", "hs"),
    "html": ("html", "vue", "svelte"),
    "java": ("java",),
    "javascript": ("javascript", "js", "node", "mjs"),
    "json": ("json", "jsonc", "json5"),
    "jsx": ("jsx",),
    "kotlin": ("kotlin", "kt"),
    "lua": ("lua",),
    "nginx": ("nginx",),
    "perl": ("perl", "pl"),
    "php": ("php",),
    "powershell": ("powershell", "ps1", "pwsh"),
    "pycon": ("pycon", "python-repl"),
    "python": ("python", "py", "python3", "py3"),
    "r": ("r",),
    "ruby": ("ruby", "rb"),
    "rust": ("rust", "rs"),
    "scss": ("scss",),
    "sql": ("sql", "mysql", "postgresql", "postgres", "sqlite", "tsql", "plsql"),
    "swift": ("swift",),
    "tex": ("tex", "latex"),
    "toml": ("toml", "ini", "cfg", "properties"),
    "tsx": ("tsx",),
    "typescript": ("typescript", "ts"),
    "xml": ("xml", "svg"),
    "yaml": ("yaml", "yml"),
}
_NAMES = {written: name for name, names in LANGUAGES.items() for written in names}

# The kinds that are told apart, each by the class Pygments itself would write; all others look like plain text.
_CLASSES: dict[_TokenType, str] = {
    Token.Comment: "c",
    Token.Comment.Preproc: "cp",
    Token.Generic.Deleted: "gd",
    Token.Generic.Heading: "gh",
    Token.Generic.Subheading: "gh",
    Token.Generic.Inserted: "gi",
    Token.Generic.Prompt: "gp",
    Token.Keyword: "k",
    Token.Literal.Number: "m",
    Token.Literal.String: "s",
    Token.Literal.Date: "s",
    Token.Name.Attribute: "na",
    Token.Name.Builtin: "nb",
    Token.Name.Class: "nc",
    Token.Name.Constant: "no",
    Token.Name.Decorator: "nd",
    Token.Name.Exception: "nc",
    Token.Name.Function: "nf",
    Token.Name.Tag: "nt",
    Token.Name.Variable: "nv",
    Token.Operator.Word: "k",
}
CLASSES = set(_CLASSES.values())


@dataclass
class Budget:
    """What is left for the code of one answer."""

    characters: int = LONGEST
    seconds: float = PATIENCE


def highlighted(code: str, language: str, budget: Budget) -> str:
    """Return `code` as escaped HTML with spans, and draw on `budget`; plain where it cannot be coloured."""
    name = _NAMES.get(language.lower())
    if name is None or len(code) > budget.characters or budget.seconds <= 0:
        return escape(code)
    budget.characters -= len(code)
    started = time.thread_time()
    runs = _runs(_lexer_class(name)(), code, started + budget.seconds)
    budget.seconds -= time.thread_time() - started
    # Whatever a lexer makes of the text, a judge reads what the model wrote.
    if runs is None or "".join(text for _, text in runs) != code:
        return escape(code)
    return "".join(f'<span class="{name}">{escape(text)}</span>' if name else escape(text) for name, text in runs)


def _runs(lexer: Lexer, code: str, end: float) -> list[tuple[str, str]] | None:
    """Return (class, text) of each run of one class, in order; None when the thread's clock passes `end`."""
    runs: list[tuple[str, str]] = []
    for _, kind, text in lexer.get_tokens_unprocessed(code):
        if time.thread_time() > end:
            return None
        name = _class_of(kind)
        if runs and (runs[-1][0] == name or text.isspace()):
            runs[-1] = (runs[-1][0], runs[-1][1] + text)
        else:
            runs.append((name, text))
    return runs


@cache
def _class_of(kind: _TokenType) -> str:
    """Return the class of the nearest kind above `kind` that has one."""
    while kind not in _CLASSES and kind.parent is not None:
        kind = kind.parent
    return _CLASSES.get(kind, "")


@cache
def _lexer_class(name: str) -> type[Lexer]:
    found = find_lexer_class_by_name(name)
    found()  # its patterns are compiled by the first one made, which must not count as time spent on an answer
    return found

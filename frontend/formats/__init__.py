"""How dates and numbers are written, by language; a language that has no folder here is written as Django does."""

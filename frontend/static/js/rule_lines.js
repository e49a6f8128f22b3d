// A rule and its line, such as "Complexity if Helpfulness is 3 or 4"; the server reads the same in feedback/rules.py.
// `rule.words` has what joins its parts: first as the reader calls it, in which lines are written, then in English.

const same = (one, other) => one.trim().toLowerCase() === other.trim().toLowerCase();

// What may stand before "if": a text, or a question.
export const whats = (rule, known) => rule.texts ?? known.map(([title]) => title);

// The parts of a line, or null when it is none that selects can show.
export function parsed(line, rule, known) {
  const cut = (text, word) => {
    for (const match of text.matchAll(anyOf(rule, word))) {
      const parts = [text.slice(0, match.index).trim(), text.slice(match.index + match[0].length).trim()];
      if (parts.every(Boolean) && accepts(parts)) return parts;
    }
    return null;
  };
  const accepts = ([before, after]) =>
    rule.shape === "never" ? condition(before, known, rule) && condition(after, known, rule) : whats(rule, known).some((one) => same(one, before)) && condition(after, known, rule);
  const parts = cut(line, rule.shape === "never" ? "and" : "if");
  if (!parts) return null;
  if (rule.shape === "never") return { first: condition(parts[0], known, rule), second: condition(parts[1], known, rule) };
  return { what: whats(rule, known).find((one) => same(one, parts[0])), first: condition(parts[1], known, rule) };
}

const anyOf = (rule, word) => new RegExp(`\\b(?:${rule.words[word].join("|")})\\b`, "gi");

function condition(text, known, rule) {
  for (const match of text.matchAll(anyOf(rule, "is"))) {
    const asked = known.find(([title]) => same(title, text.slice(0, match.index)));
    if (!asked) continue;
    const given = text.slice(match.index + match[0].length).split(new RegExp(`,|\\b(?:${rule.words.or.join("|")})\\b`, "i"));
    const values = given.map((one) => asked[1].find((answer) => same(answer, one)));
    if (values.every((value) => value !== undefined)) return { title: asked[0], values };
  }
  return null;
}

// The line of a rule; nothing while something is not chosen yet.
export function lineOf({ what, first, second }, { shape, words }) {
  const said = (shape === "never" ? [first, second] : [first]).map(({ title, values }) =>
    title && values.length ? `${title} ${words.is[0]} ${values.join(` ${words.or[0]} `)}` : "",
  );
  if (said.some((text) => !text)) return "";
  if (shape === "never") return said.join(` ${words.and[0]} `);
  return what && `${what} ${words.if[0]} ${said[0]}`;
}

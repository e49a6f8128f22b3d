// A rule and its line, such as "Complexity if Helpfulness is 3 or 4"; the server reads the same in feedback/rules.py.

const same = (one, other) => one.trim().toLowerCase() === other.trim().toLowerCase();

// What may stand before "if": a text, or a question.
export const whats = (rule, known) => rule.texts ?? known.map(([title]) => title);

// The parts of a line, or null when it is none that selects can show.
export function parsed(line, rule, known) {
  const cut = (text, word) => {
    for (const match of text.matchAll(new RegExp(`\\b${word}\\b`, "gi"))) {
      const parts = [text.slice(0, match.index).trim(), text.slice(match.index + match[0].length).trim()];
      if (parts.every(Boolean) && accepts(parts)) return parts;
    }
    return null;
  };
  const accepts = ([before, after]) =>
    rule.shape === "never" ? condition(before, known) && condition(after, known) : whats(rule, known).some((one) => same(one, before)) && condition(after, known);
  const parts = cut(line, rule.shape === "never" ? "and" : "if");
  if (!parts) return null;
  if (rule.shape === "never") return { first: condition(parts[0], known), second: condition(parts[1], known) };
  return { what: whats(rule, known).find((one) => same(one, parts[0])), first: condition(parts[1], known) };
}

function condition(text, known) {
  for (const match of text.matchAll(/\bis\b/gi)) {
    const asked = known.find(([title]) => same(title, text.slice(0, match.index)));
    if (!asked) continue;
    const given = text.slice(match.index + 2).split(/,|\bor\b/i);
    const values = given.map((one) => asked[1].find((answer) => same(answer, one)));
    if (values.every((value) => value !== undefined)) return { title: asked[0], values };
  }
  return null;
}

// The line of a rule; nothing while something is not chosen yet.
export function lineOf({ what, first, second }, { shape }) {
  const said = (shape === "never" ? [first, second] : [first]).map(({ title, values }) =>
    title && values.length ? `${title} is ${values.join(" or ")}` : "",
  );
  if (said.some((text) => !text)) return "";
  if (shape === "never") return said.join(" and ");
  return what && `${what} if ${said[0]}`;
}

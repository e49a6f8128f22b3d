// What a form says, and what is missing in it, said beside the input.

// Returns what would be sent, without the session's token, so that it may be kept.
export function fieldsOf(form) {
  const fields = Object.fromEntries(new FormData(form));
  delete fields.csrfmiddlewaretoken;
  return fields;
}

// Returns whether everything that is required is there; says beside each input what is missing, and goes to the first.
export function complete(form) {
  const missing = missingIn(form, form);
  for (const place of form.querySelectorAll("[data-error-for]")) {
    const input = missing.get(place.dataset.errorFor);
    place.textContent = input?.dataset.required ?? input?.dataset.message ?? "";
    place.closest("fieldset, .field")?.classList.toggle("field--invalid", Boolean(input));
  }
  const follows = Node.DOCUMENT_POSITION_FOLLOWING;
  const [first] = [...missing.values()].sort((one, other) => (one.compareDocumentPosition(other) & follows ? -1 : 1));
  first?.focus();
  return !first;
}

export function clearErrors(form) {
  for (const place of form.querySelectorAll("[data-error-for]")) place.textContent = "";
  for (const field of form.querySelectorAll(".field--invalid")) field.classList.remove("field--invalid");
}

// Returns what is required in `scope`, a part of `form`, and missing: the place of its error, and where to go.
export function missingIn(scope, form) {
  const missing = new Map();
  for (const input of scope.querySelectorAll("[data-required]")) {
    if (input.closest("[data-asked-if][hidden]")) continue;
    if (input.matches("[data-if-shown]") && !input.checkVisibility()) continue; // another answer made it needless
    if (input.closest("[data-slot][data-rejected]")) continue; // what was rejected needs nothing more
    const given = input.type === "radio" ? form.elements.namedItem(input.name).value : input.value.trim();
    const name = input.dataset.requiredAs ?? input.name; // some are part of a field that a script writes
    if (!given && !missing.has(name)) missing.set(name, input);
  }
  for (const group of scope.querySelectorAll("[data-needs-one]")) {
    const chosen = [...group.querySelectorAll("input:checked")].some((input) => input.value !== "0");
    if (group.checkVisibility() && !chosen) missing.set(group.dataset.needsOne, group);
  }
  for (const input of scope.querySelectorAll("[data-least]")) {
    const together = [input, ...input.dataset.leastWith.split(" ").map((name) => form.elements.namedItem(name))];
    const written = together.reduce((sum, one) => sum + one.value.trim().length, 0);
    if (written < Number(input.dataset.least)) missing.set(input.name, input);
  }
  for (const input of scope.querySelectorAll("[data-least-words]")) {
    const words = input.value.trim().split(/\s+/).filter(Boolean).length;
    if (words < Number(input.dataset.leastWords)) missing.set(input.name, input);
  }
  return missing;
}

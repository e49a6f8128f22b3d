// A reviewer's own answer, put together by clicks: what somebody said to one question is filled into the form below.
// Without a script each of these is a link to the page with that filled in.

export function merging() {
  const place = document.getElementById("merging");
  const own = document.getElementById("own");
  if (!place || !own) return;
  const { agreed, takes } = JSON.parse(place.textContent);
  const form = own.querySelector("form");
  let begun = false;
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-take]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (!begun) fill(form, agreed);
    begun = true;
    fill(form, takes[link.dataset.take]);
    own.open = true;
    for (const one of link.closest("tr").querySelectorAll("[data-take]")) {
      if (one === link) one.setAttribute("aria-current", "true");
      else one.removeAttribute("aria-current");
    }
  });
}

function fill(form, fields) {
  for (const [name, value] of Object.entries(fields)) {
    const found = form.elements.namedItem(name);
    if (!found) continue;
    const inputs = found instanceof RadioNodeList ? [...found] : [found];
    for (const input of inputs) {
      if (input.type === "radio") input.checked = input.value === String(value || "0");
      else if (input.type === "checkbox") input.checked = Boolean(value);
      else input.value = value;
    }
    inputs[0].dispatchEvent(new Event("input", { bubbles: true }));
    inputs[0].dispatchEvent(new Event("change", { bubbles: true }));
  }
}

// Lines to begin a list with, such as principles: each button puts its line into the text field, or takes it out again.
// What is sent is the text, as it would be without this.

const words = document.getElementById("rule-words").dataset;
const titleOf = (line) => line.split(":")[0].trim().toLowerCase();

for (const field of document.querySelectorAll("textarea[data-offers]")) offer(field, JSON.parse(field.dataset.offers));

function offer(field, groups) {
  const box = document.createElement("details");
  box.className = "offers";
  box.append(Object.assign(document.createElement("summary"), { textContent: words.offers }));
  const buttons = [];
  for (const [title, lines] of Object.entries(groups)) {
    const group = document.createElement("fieldset");
    group.className = "offers__group";
    group.append(Object.assign(document.createElement("legend"), { className: "eyebrow", textContent: title }));
    for (const line of lines) {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "toggle", textContent: line.split(":")[0] });
      button.title = line.slice(line.indexOf(":") + 1).split("|")[0].trim();
      button.addEventListener("click", () => put(field, line, button.ariaPressed !== "true"));
      buttons.push([button, line]);
      group.append(button);
    }
    box.append(group);
  }
  const mark = () => {
    const there = new Set(field.value.split("\n").map(titleOf));
    for (const [button, line] of buttons) button.ariaPressed = String(there.has(titleOf(line)));
  };
  field.addEventListener("input", mark);
  mark();
  field.after(box);
}

function put(field, line, isWanted) {
  const others = field.value.split("\n").filter((one) => one.trim() && titleOf(one) !== titleOf(line));
  field.value = (isWanted ? [...others, line] : others).join("\n");
  field.rows = Math.min(12, others.length + 3);
  field.dispatchEvent(new Event("input", { bubbles: true })); // the preview follows
}

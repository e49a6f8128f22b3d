// The line of a guard, moved by a slider: what the line that is chosen would do is told beside it while it moves.
// Without a script there are the number field and the table.

export function guardLines() {
  for (const section of document.querySelectorAll("[data-guard-side]")) {
    const place = section.querySelector("[data-guard-slider]");
    const data = section.querySelector('script[type="application/json"]');
    if (!place || !data) continue;
    const { name, points } = JSON.parse(data.textContent);
    const field = section.querySelector(`[name="${name}_line"]`);
    const slider = place.querySelector("input");
    const told = place.querySelector("p");
    slider.max = points.length - 1;
    place.hidden = false;
    const tell = () => {
      const point = points[slider.value];
      told.textContent = told.dataset.words
        .replace("{bound}", percent(point.recall_bound))
        .replace("{caught}", share(told, point.catches))
        .replace("{refused}", share(told, point.false_refusals));
    };
    const follow = () => {
      const at = points.findIndex((one) => one.value <= Number(field.value));
      if (at >= 0) slider.value = at;
      tell();
    };
    slider.addEventListener("input", () => {
      field.value = points[slider.value].value;
      tell();
    });
    field.addEventListener("input", follow);
    follow();
  }
}

function share(told, { estimate, low, high, n }) {
  return told.dataset.share
    .replace("{share}", percent(estimate))
    .replace("{low}", percent(low))
    .replace("{high}", percent(high))
    .replace("{n}", n);
}

function percent(value) {
  return value.toLocaleString(document.documentElement.lang, { style: "percent", maximumFractionDigits: 1 });
}

// On a narrow screen a table that is wider than its frame becomes blocks, each value with the name of its column.
// Roles are said in words, because some browsers take a table laid out as blocks for none. Without script it scrolls.

const ROLES = { TABLE: "table", THEAD: "rowgroup", TBODY: "rowgroup", TFOOT: "rowgroup", TR: "row", TD: "cell" };
const narrow = matchMedia("(max-width: 40rem)");
const widths = new WeakMap();
const sizes = new ResizeObserver((entries) => entries.forEach(({ target }) => fit(target.closest(".table-wrap"))));

// Both are observed: the frame gets another width with the window, the table with its words and when a font has come.
function fit(frame) {
  if (widths.get(frame) !== frame.clientWidth) frame.classList.remove("is-stacked");
  widths.set(frame, frame.clientWidth);
  if (narrow.matches && frame.scrollWidth > frame.clientWidth) frame.classList.add("is-stacked");
}

function prepare(table) {
  const heads = [...(table.tHead?.rows[0]?.cells ?? [])].flatMap((head) => Array(head.colSpan).fill(named(head)));
  table.role = ROLES.TABLE;
  for (const part of table.querySelectorAll("thead, tbody, tfoot, tr")) part.role = ROLES[part.tagName];
  for (const row of table.rows) {
    let column = 0;
    for (const cell of row.cells) {
      cell.role = ROLES[cell.tagName] ?? (cell.scope === "row" ? "rowheader" : "columnheader");
      // An empty cell needs no name; nor does what a row is called, unless that is a bare number.
      const said = cell.textContent.trim();
      const clear = cell.tagName === "TH" ? !/^\d+$/.test(said) : !said && !cell.firstElementChild;
      if (!clear && heads[column] && row.parentElement !== table.tHead) cell.dataset.label = heads[column];
      column += cell.colSpan;
    }
  }
}

// A heading that is only heard says what its column is for; beside the column's buttons it would say it twice.
function named(head) {
  return head.querySelector(":scope > .visually-hidden:only-child") ? "" : head.textContent.trim();
}

function begin(root) {
  for (const table of root.querySelectorAll(".table-wrap > table")) {
    prepare(table);
    for (const one of [table.parentElement, table]) sizes.observe(one);
  }
}

begin(document);
document.addEventListener("htmx:load", ({ target }) => begin(target));

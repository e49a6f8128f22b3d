// Images of an item: zoom and pan, together for those of two answers; those of the prompt in a dialog, or by themselves.

import { View } from "./view.js";

// Returns the views of the images that stand in `item` to be zoomed.
export function viewers(item) {
  const viewOf = (element) => new View(element);
  const alone = [...item.querySelectorAll("[data-prompt] [data-viewer]")].map(viewOf);
  for (const view of alone) view.follow((state) => view.show(state));
  const views = [...item.querySelectorAll("[data-answers] [data-viewer]")].map(viewOf);
  const areLinked = () => item.querySelector('[data-toggle="zoom"]')?.ariaPressed !== "false";
  for (const view of views) view.follow((state) => (areLinked() ? views : [view]).forEach((one) => one.show(state)));
  item.addEventListener("click", (event) => {
    const link = event.target.closest("[data-enlarge]");
    if (!link || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const veil = item.querySelector("[data-unblur]:not(:checked)");
    if (veil) veil.click(); // one asks to see it first
    else enlarge(link);
  });
  return [...alone, ...views];
}

let fetched = []; // held, so that the browser does not let go of what is about to be shown

// Asks for the images of an item that is not on screen yet, so that they are there with it.
export async function fetchImages(item) {
  const images = [...item.querySelectorAll("img")].map(({ src }) => Object.assign(new Image(), { src }));
  fetched = images;
  await together(item, images);
}

// Ends the wait of texts for images (see work.css) when all are there, or cannot be had.
export async function together(item, images = [...item.querySelectorAll("img")]) {
  if (!("waits" in item.dataset)) return;
  await Promise.allSettled(images.map((image) => image.decode()));
  delete item.dataset.waits;
}

function enlarge(link) {
  const dialog = document.getElementById("enlarged");
  const small = link.querySelector("img");
  const image = Object.assign(new Image(Number(link.dataset.width), Number(link.dataset.height)), { alt: small.alt });
  image.src = link.href;
  const stage = dialog.querySelector("[data-stage]");
  stage.replaceChildren(image);
  dialog.querySelector("[data-words]").textContent = small.alt;
  const view = new View(dialog.querySelector("[data-viewer]"));
  view.follow((state) => view.show(state));
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close(), { signal: view.over });
  dialog.addEventListener("close", () => view.end(), { once: true });
  dialog.showModal();
  stage.focus();
}

// Applies the person's theme before the first paint; it is a plain script in <head> for that reason.
(() => {
  const root = document.documentElement;
  const stored = () => {
    try {
      return localStorage.getItem("attune:theme");
    } catch {
      return null; // storage may be forbidden; the system's theme is then used
    }
  };
  const apply = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  apply(stored());

  const shown = () => root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const keep = (theme) => {
    apply(theme);
    try {
      if (theme === "system") localStorage.removeItem("attune:theme");
      else localStorage.setItem("attune:theme", theme);
    } catch {
      // lasts for this page only
    }
  };
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-theme-toggle]")) keep(shown() === "dark" ? "light" : "dark");
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-theme-choice]")) keep(event.target.value);
  });
  document.addEventListener("DOMContentLoaded", () => {
    for (const input of document.querySelectorAll("[data-theme-choice]")) {
      input.checked = input.value === (root.dataset.theme ?? "system");
    }
  });
})();

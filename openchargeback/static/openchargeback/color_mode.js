// Light or dark: what was chosen here before, else what the device prefers. Loaded before the page is drawn.
(() => {
  "use strict";
  const KEY = "theme";
  const device = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    const value = localStorage.getItem(KEY);
    return value === "dark" || value === "light" ? value : null;
  };
  const wanted = () => chosen() || (device.matches ? "dark" : "light");
  const apply = () => document.documentElement.setAttribute("data-bs-theme", wanted());
  apply();
  device.addEventListener("change", apply);
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-color-mode-toggle]")) return;
    // The key and its values are those of the admin, so that one choice holds for both.
    localStorage.setItem(KEY, wanted() === "dark" ? "light" : "dark");
    apply();
  });
})();

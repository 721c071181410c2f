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
  const apply = () => document.documentElement.setAttribute("data-theme", wanted());
  apply();
  // Without script there is no switch, and the device decides.
  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("[data-color-mode-toggle]").forEach((button) => button.removeAttribute("hidden"));
  });
  device.addEventListener("change", apply);
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-color-mode-toggle]")) return;
    localStorage.setItem(KEY, wanted() === "dark" ? "light" : "dark");
    apply();
  });
})();

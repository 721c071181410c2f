// A form is sent once: a second press while the answer is on its way is ignored.
(() => {
  "use strict";

  // A form whose answer is a file leaves its page standing, so that no form stays busy for good.
  const RELEASE_AFTER = 8000;

  const buttonsOf = (form) =>
    [...form.elements].filter((element) => ["submit", "image"].includes(element.type));

  const release = (form) => {
    delete form.dataset.once;
    form.removeAttribute("aria-busy");
    buttonsOf(form).forEach((button) => button.removeAttribute("aria-busy"));
  };

  // On the document, so that a form's own script comes first and can take the sending over.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    const method = event.submitter?.getAttribute("formmethod") || form.getAttribute("method") || "get";
    if (event.defaultPrevented || method.toLowerCase() !== "post") return;
    if ("once" in form.dataset) {
      event.preventDefault();
      return;
    }
    // Marked and not disabled: the pressed button's own name and value belong to what is sent.
    form.dataset.once = "";
    form.setAttribute("aria-busy", "true");
    buttonsOf(form).forEach((button) => button.setAttribute("aria-busy", "true"));
    setTimeout(() => release(form), RELEASE_AFTER);
  });

  // Back on a page that the browser kept.
  window.addEventListener("pageshow", () => document.querySelectorAll("form[data-once]").forEach(release));
})();

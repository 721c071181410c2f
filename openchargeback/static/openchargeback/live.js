// Parts of a page that change by themselves while something runs: the same parts of the page, asked for again, take
// their place. A part is marked by data-live and an id; data-busy within one says that something runs. A form with
// data-live-form is sent when a field of it changes. Without script a link or button brings the page up to date.
(() => {
  "use strict";

  const EVERY = 1500;
  const AFTER_ERROR = 6000;
  let timer = 0;
  let line = Promise.resolve();
  const parts = (page) => [...page.querySelectorAll("[data-live][id]")];
  const isBusy = () => Boolean(document.querySelector("[data-live][data-busy], [data-live] [data-busy]"));

  const put = (now, then) => {
    if (now.isEqualNode(then)) return;
    const focused = now.contains(document.activeElement) ? document.activeElement : null;
    // What somebody is writing stays.
    if (focused?.matches("input:not([type=submit], [type=checkbox]), select, textarea")) return;
    now.querySelectorAll("details[id][open]").forEach((each) => {
      const same = then.querySelector(`details#${CSS.escape(each.id)}`);
      if (same) same.open = true;
    });
    // What is spoken is written anew into the same place, else nobody hears it.
    if (now.getAttribute("role") === "status") {
      if (now.textContent !== then.textContent) now.textContent = then.textContent;
      return;
    }
    now.replaceWith(document.adoptNode(then));
    if (focused?.id) document.getElementById(focused.id)?.focus({ preventScroll: true });
  };

  // Returns whether it was this page: not so where somebody was signed out meanwhile.
  const show = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const found = parts(document).filter((now) => fresh.getElementById(now.id));
    found.forEach((now) => put(now, fresh.getElementById(now.id)));
    return found.length > 0;
  };

  const wait = (time = EVERY) => {
    clearTimeout(timer);
    timer = isBusy() && !document.hidden ? setTimeout(() => ask(), time) : 0;
  };

  // One after the other, so that an older answer never comes after a newer one.
  const ask = (address = location.href, options = {}) => {
    clearTimeout(timer);
    line = line.then(async () => {
      try {
        const answer = await fetch(address, { ...options, headers: { Accept: "text/html" } });
        if (!answer.ok) return wait(AFTER_ERROR);
        if (show(await answer.text())) wait();
        else if (options.method) location.reload();
      } catch {
        wait(AFTER_ERROR);
      }
    });
  };

  document.addEventListener("change", (event) => {
    const form = event.target.form;
    if (!form || !("liveForm" in form.dataset) || event.target.type === "file") return;
    const sent = new FormData(form);
    sent.set("keep", "1");
    // To say the same twice is to say it again, here.
    sent.delete("once");
    ask(form.action, { method: "POST", body: sent });
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : isBusy() && ask()));
  wait();
})();

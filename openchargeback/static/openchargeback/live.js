// Parts of a page that change by themselves while something runs: the same parts of the page, asked for again, take
// their place. A part is marked by data-live and an id; data-busy within one says that something runs, and may say in
// how many seconds to look again. A part with data-live-from is asked for alone, and the whole page once something in it
// is over. A form with data-live-form is sent when a field of it changes. Without script a link or button brings the
// page up to date.
(() => {
  "use strict";

  const EVERY = 1500;
  const AFTER_ERROR = 6000;
  let timer = 0;
  let line = Promise.resolve();
  const parts = (page) => [...page.querySelectorAll("[data-live][id]")];
  const busy = () => [...document.querySelectorAll("[data-live][data-busy], [data-live] [data-busy]")];
  const running = () => busy().map((each) => each.id).join();
  const pace = () => Math.min(...busy().map((each) => each.dataset.busy * 1000 || EVERY));
  // A part that can be asked for alone is, unless another part of the page waits as well.
  const source = () => {
    const alone = busy().map((each) => each.closest("[data-live]").dataset.liveFrom);
    return alone.length && alone.every(Boolean) ? alone[0] : location.href;
  };

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
    // What every page has, such as the navigation, does not tell.
    const isSame = found.some((now) => now.closest("#content"));
    found.forEach((now) => put(now, fresh.getElementById(now.id)));
    return isSame;
  };

  const wait = (time = pace()) => {
    clearTimeout(timer);
    timer = busy().length && !document.hidden ? setTimeout(() => ask(source()), time) : 0;
  };

  // One after the other, so that an older answer never comes after a newer one.
  const ask = (address = location.href, options = {}) => {
    clearTimeout(timer);
    line = line.then(async () => {
      try {
        const answer = await fetch(address, { ...options, headers: { Accept: "text/html" } });
        if (!answer.ok) return wait(AFTER_ERROR);
        const before = running();
        if (!show(await answer.text())) return options.method && location.reload();
        if (address !== location.href && !options.method && running() !== before) ask();
        else wait();
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
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : busy().length && ask(source())));
  wait();
})();

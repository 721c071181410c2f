// The queue of the review by keyboard, and without a new page after each decision. Without script its forms work alone.
(() => {
  "use strict";

  // What is decided at once; other steps ask for something on a page of their own.
  const AT_ONCE = ["approve", "accept", "undo"];
  const page = () => document.querySelector("#review");
  const form = () => document.querySelector("#review-form");
  const items = () => [...page().querySelectorAll("[data-item]")].filter((item) => !item.closest("[hidden]"));
  const current = () => document.activeElement?.closest?.("#review [data-item]");
  const tickOf = (item) => item.querySelector("input[type=checkbox]");
  const groupOf = (item) => item.closest(".group");
  const isGroup = (item) => item.classList.contains("group-head");

  const say = (text) => {
    document.querySelector("#review-said").textContent = text;
  };

  // Amounts are whole numbers of 10⁻⁸ of their currency, "USD:2:6184000000"; they are never numbers with a point.
  const added = (ticked) => {
    const sums = new Map();
    ticked.forEach((item) =>
      item.dataset.units.split(" ").forEach((each) => {
        const [currency, places, units] = each.split(":");
        const sum = sums.get(currency) || { places: Number(places), units: 0n };
        sum.units += BigInt(units);
        sums.set(currency, sum);
      }),
    );
    return sums;
  };

  const written = (sums) =>
    [...sums]
      .map(([currency, { places, units }]) => {
        const step = 10n ** BigInt(8 - places);
        const cents = ((units < 0n ? -units : units) + step / 2n) / step;
        const digits = String(cents).padStart(places + 1, "0");
        const whole = digits.slice(0, digits.length - places).replace(/\B(?=(\d{3})+$)/g, ",");
        const sign = units < 0n && cents ? "-" : "";
        return `${sign}${whole}${places ? `.${digits.slice(-places)}` : ""} ${currency}`;
      })
      .join(", ");

  // The heads of groups that are ticked, and the charges that are ticked in the others.
  const selected = () => {
    const ticked = items().filter((item) => tickOf(item)?.checked);
    const groups = new Set(ticked.filter(isGroup).map(groupOf));
    return ticked.filter((item) => isGroup(item) || !groups.has(groupOf(item)));
  };

  const showSelection = () => {
    const dock = page()?.querySelector(".bulk");
    if (!dock) return;
    const ticked = selected();
    const count = ticked.reduce((sum, item) => sum + Number(item.dataset.count || 1), 0);
    const text = `${count.toLocaleString("en-US")} ${count === 1 ? "charge" : "charges"}`;
    dock.classList.toggle("is-empty", !count);
    dock.querySelector("[data-selected]").textContent = count ? `${text} selected, ${written(added(ticked))}` : "Nothing selected";
    dock.querySelector("[data-approve]").textContent = count ? `Approve ${text}` : "Approve";
    dock.querySelectorAll("button[name=do], button[type=reset]").forEach((button) => (button.disabled = !count));
    dock.querySelector("[data-keys]").hidden = false;
    items().forEach((item) => item.classList.toggle("is-ticked", Boolean(tickOf(item)?.checked)));
  };

  const go = (item) => {
    if (!item) return;
    item.focus({ preventScroll: true });
    item.scrollIntoView({ block: "nearest" });
  };

  const move = (by) => {
    const all = items();
    const at = all.indexOf(current());
    go(all[at < 0 ? 0 : Math.min(Math.max(at + by, 0), all.length - 1)]);
  };

  // Decisions are sent one after the other; the page is brought up to date once all of them are answered.
  let waiting = 0;
  let line = Promise.resolve();

  const placeOf = (item) => item && (item.dataset.charge || groupOf(item).dataset.key);

  const replace = (text, address) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    if (!fresh.querySelector("#review")) {
      // A job's page, or one that asks to sign in.
      location.assign(address);
      return;
    }
    const all = items();
    const here = current();
    const place = placeOf(here);
    const at = all.indexOf(here);
    const ticked = new Set(selected().map(placeOf));
    ["#review", ".head", "#nav-sidebar", ".chips"].forEach((name) => {
      const [now, then] = [document.querySelector(name), fresh.querySelector(name)];
      if (now && then) now.replaceChildren(...then.childNodes);
    });
    document.querySelectorAll(".messagelist").forEach((each) => each.remove());
    const told = fresh.querySelector(".messagelist");
    if (told) document.querySelector("#content").before(told);
    items().forEach((item) => {
      if (ticked.has(placeOf(item)) && tickOf(item)) tickOf(item).checked = true;
    });
    showSelection();
    if (at >= 0) go(items().find((item) => placeOf(item) === place) || items()[Math.min(at, items().length - 1)]);
    const left = current();
    say([told ? told.textContent.replace(/\bUndo\s*$/, "").trim() : "", left ? named(left) : ""].join(" "));
  };

  const named = (item) =>
    isGroup(item) ? item.querySelector("h3").textContent : item.querySelector("th").innerText.replace(/\s+/g, " ");

  const send = (source, extra) => {
    waiting += 1;
    page().setAttribute("aria-busy", "true");
    line = line.then(async () => {
      const data = new FormData(source());
      Object.entries(extra).forEach(([name, value]) => data.set(name, value));
      try {
        const answer = await fetch(source().action, { method: "POST", body: data });
        const text = await answer.text();
        waiting -= 1;
        if (!answer.ok) location.reload();
        else if (!waiting) replace(text, answer.url);
      } catch {
        location.reload();
      }
      if (!waiting) page()?.removeAttribute("aria-busy");
    });
  };

  // What a decision is about leaves the page at once, and the next of its kind is in focus before the answer is there.
  const leave = (gone) => {
    const all = items();
    const last = all.indexOf(gone[gone.length - 1]);
    const left = [...all.slice(last + 1), ...all.slice(0, last).reverse()].filter((item) => !gone.includes(item));
    const alike = left.find((item) => isGroup(item) === isGroup(gone[0]));
    const next = alike || left[0];
    go(next);
    gone.forEach((item) => ((isGroup(item) ? groupOf(item) : item).hidden = true));
  };

  const affected = (button) => {
    if (!button.value.includes(" ")) {
      return selected().flatMap((item) => (isGroup(item) ? [item, ...groupOf(item).querySelectorAll("tr[data-item]")] : [item]));
    }
    const row = button.closest("tr[data-item]");
    return row ? [row] : [...groupOf(button).querySelectorAll("[data-item]")];
  };

  const decide = (button) => {
    if (button.form.id === "review-undo") {
      send(() => document.querySelector("#review-undo"), { gesture: button.value });
      say("Undoing.");
      return;
    }
    const gone = affected(button);
    const ticked = new FormData(form());
    const extra = { do: button.value };
    leave(gone);
    if (button.value.includes(" ")) send(form, extra);
    else {
      // As it was ticked when it was sent, whatever is ticked until its turn comes.
      const kept = document.createElement("form");
      kept.action = form().action;
      ticked.forEach((value, name) => kept.append(Object.assign(document.createElement("input"), { type: "hidden", name, value })));
      send(() => kept, extra);
      gone.forEach((item) => tickOf(item) && (tickOf(item).checked = false));
      showSelection();
    }
  };

  const submit = (value) => {
    const button = Object.assign(document.createElement("button"), { type: "submit", name: "do", value, hidden: true });
    form().append(button);
    form().requestSubmit(button);
    button.remove();
  };

  const step = (name) => {
    const item = current();
    if (selected().length) {
      if (name === "accept") say("Clear the selection to accept a suggestion.");
      else page().querySelector(`.bulk button[value=${name}]`)?.click();
      return;
    }
    if (!item) return say("Move to a charge with j first.");
    const place = isGroup(item) ? groupOf(item) : item;
    const button = [...place.querySelectorAll(`[data-step=${name}]`)].find((each) => isGroup(item) === !each.closest("tr"));
    if (button) button.click();
    else if (name === "approve") say(item.dataset.blocked || "This cannot be approved.");
    else if (name === "accept") say("There is no suggestion here.");
    else if (tickOf(item)) submit(`${name} ${isGroup(item) ? tickOf(item).value : item.dataset.charge}`);
  };

  const open = async () => {
    const item = current();
    const link = item && (isGroup(item) ? groupOf(item).querySelector(".group-more a") : item.querySelector("[data-open]"));
    link?.click();
  };

  const KEYS = {
    j: () => move(1),
    k: () => move(-1),
    o: open,
    x: () => {
      const item = current();
      if (item && tickOf(item)) tickOf(item).click();
    },
    a: () => step("approve"),
    s: () => step("accept"),
    c: () => step("correct"),
    r: () => step("reject"),
    u: () => {
      const button = page().querySelector("[data-undo]");
      if (button) button.click();
      else say("There is nothing to undo.");
    },
    "/": () => document.querySelector("#searchbar").focus(),
    "?": () => document.querySelector("#review-keys").showModal(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (document.querySelector("dialog[open], :popover-open")) return;
    if (event.target.closest("input:not([type=checkbox]), select, textarea, [contenteditable], details.menu[open]")) return;
    const act = KEYS[event.key];
    if (!act || event.repeat && !"jk".includes(event.key)) return;
    event.preventDefault();
    act();
  });

  // Before once.js, which marks forms that leave the page.
  document.addEventListener(
    "submit",
    (event) => {
      const button = event.submitter;
      const verb = button?.form?.id === "review-undo" ? "undo" : (button?.value || "").split(" ")[0];
      if (!["review-form", "review-undo"].includes(event.target.id) || !AT_ONCE.includes(verb)) return;
      event.preventDefault();
      decide(button);
    },
    true,
  );

  document.addEventListener("change", (event) => {
    const item = event.target.closest?.("#review [data-item]");
    if (!item || event.target !== tickOf(item)) return;
    const rows = [...groupOf(item).querySelectorAll("tr[data-item]")];
    if (isGroup(item)) rows.forEach((row) => (tickOf(row).checked = event.target.checked));
    else if (!event.target.checked) tickOf(groupOf(item).querySelector(".group-head")).checked = false;
    showSelection();
    if (page().querySelector(".bulk")) say(page().querySelector("[data-selected]").textContent);
  });
  document.addEventListener("reset", () => setTimeout(showSelection));
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-keys]")) document.querySelector("#review-keys").showModal();
  });
  window.addEventListener("pageshow", showSelection);
})();

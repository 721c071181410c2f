// Chooses records by what is typed. It stands in for a select, which keeps what the form sends; without script the
// select stays, with a text field beside it. The roles and keys are those of ARIA's editable combobox with a list.
(() => {
  "use strict";

  const PAUSE = 150;
  const ROOM = 280;

  const make = (tag, attributes, text = "") => {
    const element = document.createElement(tag);
    Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
    element.textContent = text;
    return element;
  };

  class Combobox {
    constructor(select) {
      this.select = select;
      this.several = select.multiple;
      this.found = [];
      this.active = -1;
      this.build();
      this.listen();
      this.show();
    }

    build() {
      const { select } = this;
      const label = select.labels[0];
      const id = `${select.id}-search`;
      const name = select.getAttribute("aria-label") || (label ? label.textContent.trim() : "");
      this.box = make("div", { class: "combobox" });
      this.input = make("input", {
        type: "text", id, role: "combobox", autocomplete: "off", autocapitalize: "off", spellcheck: "false",
        "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": `${id}-list`,
      });
      if (!label) this.input.setAttribute("aria-label", name);
      ["aria-describedby", "aria-invalid"].forEach((each) => {
        if (select.hasAttribute(each)) this.input.setAttribute(each, select.getAttribute(each));
      });
      this.chosen = make("ul", { class: "combobox-chosen", "aria-label": `${name}: chosen` });
      this.clear = make("button", { type: "button", class: "combobox-clear", "aria-label": `Clear ${name}` }, "×");
      this.list = make("ul", { id: `${id}-list`, role: "listbox", "aria-label": name });
      if (this.several) this.list.setAttribute("aria-multiselectable", "true");
      this.note = make("p", { "aria-hidden": "true" });
      this.pane = make("div", { class: "combobox-pane", popover: "manual" });
      this.status = make("p", { role: "status", class: "visually-hidden" });
      this.pane.append(this.list, this.note);
      this.field = make("div", { class: "combobox-field" });
      this.field.append(this.input, this.clear);
      if (this.several) this.box.append(this.chosen);
      this.box.append(this.field, this.pane, this.status);
      this.input.required = select.required;
      select.required = false;
      select.hidden = true;
      select.after(this.box);
      if (label) label.htmlFor = id;
    }

    listen() {
      const { input, pane, list } = this;
      input.addEventListener("input", () => {
        clearTimeout(this.waiting);
        this.waiting = setTimeout(() => this.ask(), PAUSE);
      });
      input.addEventListener("click", () => this.isOpen() || this.ask());
      input.addEventListener("keydown", (event) => this.press(event));
      this.clear.addEventListener("click", () => {
        this.select.value = "";
        this.changed();
        input.focus();
      });
      // The field keeps the focus while something is chosen with the mouse.
      pane.addEventListener("mousedown", (event) => event.preventDefault());
      list.addEventListener("click", (event) => {
        const option = event.target.closest("[role=option]");
        if (option) this.choose([...list.children].indexOf(option));
      });
      list.addEventListener("scroll", () => {
        if (list.scrollTop + list.clientHeight > list.scrollHeight - 40) this.askMore();
      });
      input.addEventListener("focus", () => input.select());
      input.addEventListener("blur", () => this.leave());
      // What Django's pop-ups add, rename or delete is shown as well.
      new MutationObserver(() => this.show()).observe(this.select, {
        childList: true, subtree: true, characterData: true,
      });
      this.select.addEventListener("change", () => this.show());
      ["scroll", "resize"].forEach((kind) =>
        window.addEventListener(kind, () => this.isOpen() && this.place(), { capture: true, passive: true }),
      );
    }

    // What is chosen, as it stands in the select.

    picked() {
      return [...this.select.selectedOptions].filter((each) => each.value);
    }

    isOptional() {
      return [...this.select.options].some((each) => !each.value);
    }

    show() {
      const picked = this.picked();
      if (this.several) {
        this.chosen.replaceChildren(...picked.map((each) => this.chip(each)));
        this.chosen.hidden = !picked.length;
      }
      this.shown = this.several || !picked.length ? "" : picked[0].text;
      this.input.value = this.shown;
      this.clear.hidden = this.several || !picked.length || !this.isOptional();
    }

    chip(option) {
      const item = make("li", { class: "chip" }, option.text);
      const remove = make("button", { type: "button", "aria-label": `Remove ${option.text}` }, "×");
      remove.addEventListener("click", () => {
        option.selected = false;
        this.changed();
        this.input.focus();
      });
      item.append(remove);
      return item;
    }

    choose(place) {
      const { id, text } = this.found[place];
      let option = [...this.select.options].find((each) => each.value === id);
      if (!option) {
        option = new Option(text, id);
        this.select.add(option);
      }
      option.selected = this.several ? !option.selected : true;
      this.close();
      this.changed();
      this.say(option.selected ? `${text} chosen.` : `${text} removed.`);
    }

    changed() {
      this.select.dispatchEvent(new Event("change", { bubbles: true }));
    }

    leave() {
      this.close();
      // An emptied field is an empty choice; words that nothing was chosen for are dropped.
      if (!this.several && !this.input.value.trim() && this.picked().length && this.isOptional()) {
        this.select.value = "";
        this.changed();
      } else {
        this.input.value = this.shown;
      }
    }

    // The list.

    isOpen() {
      return this.input.getAttribute("aria-expanded") === "true";
    }

    open() {
      if (this.isOpen()) return;
      this.input.setAttribute("aria-expanded", "true");
      this.pane.showPopover();
      this.place();
    }

    close() {
      clearTimeout(this.waiting);
      this.request?.abort();
      this.request = null;
      this.mark(-1);
      if (!this.isOpen()) return;
      this.input.setAttribute("aria-expanded", "false");
      this.pane.hidePopover();
      this.say("");
    }

    // Below the field, or above it where there is more room.
    place() {
      const field = this.field.getBoundingClientRect();
      const below = innerHeight - field.bottom;
      const isAbove = below < ROOM && field.top > below;
      const { style } = this.pane;
      style.left = `${field.left}px`;
      style.width = `${field.width}px`;
      style.top = isAbove ? "auto" : `${field.bottom + 4}px`;
      style.bottom = isAbove ? `${innerHeight - field.top + 4}px` : "auto";
      this.list.style.maxHeight = `${Math.max(96, Math.min(ROOM, (isAbove ? field.top : below) - 24))}px`;
    }

    // What a screen reader says, and what stands in the list where it has to be seen.
    say(text, isSeen = false) {
      this.status.textContent = text;
      this.note.textContent = isSeen ? text : "";
      this.note.hidden = !isSeen;
    }

    async ask(page = 1) {
      const typed = this.input.value.trim();
      const term = typed === this.shown ? "" : typed;
      const address = new URL(this.select.dataset.combobox, location.href);
      address.searchParams.set("term", page > 1 ? this.term : term);
      address.searchParams.set("page", page);
      this.request?.abort();
      const request = new AbortController();
      this.request = request;
      this.open();
      if (page === 1) {
        this.term = term;
        this.empty();
        this.say("Loading…", true);
      }
      try {
        const answer = await fetch(address, { signal: request.signal, headers: { Accept: "application/json" } });
        if (answer.redirected) this.fail("You are signed out. Sign in on another page, then try again.");
        else if (answer.status === 403) this.fail("You may not search this list.");
        else if (!answer.ok) throw new Error(answer.statusText);
        else this.take(await answer.json(), page);
      } catch (error) {
        if (error.name !== "AbortError") this.fail("The list could not be loaded. Press the down arrow to try again.");
      } finally {
        if (this.request === request) this.request = null;
      }
    }

    askMore() {
      if (this.more && !this.request) this.ask(this.page + 1);
    }

    take(answer, page) {
      this.page = page;
      this.more = answer.pagination.more;
      this.add(answer.results);
      const count = `${this.found.length}${this.more ? " or more" : ""} found.`;
      if (this.found.length) this.say(count);
      else this.say(this.term ? `Nothing matches “${this.term}”.` : "There is nothing to choose from yet.", true);
      // Return takes the first of what fits.
      if (page === 1 && this.term && this.found.length) this.mark(0);
      this.place();
    }

    fail(text) {
      this.empty();
      this.say(text, true);
    }

    empty() {
      this.mark(-1);
      this.found = [];
      this.more = false;
      this.list.replaceChildren();
      this.list.hidden = true;
    }

    add(results) {
      const picked = new Set(this.picked().map((each) => each.value));
      results.forEach(({ id, text }) => {
        const place = this.found.push({ id, text }) - 1;
        this.list.append(
          make("li", { role: "option", id: `${this.list.id}-${place}`, "aria-selected": picked.has(id) }, text),
        );
      });
      this.list.hidden = !this.found.length;
    }

    mark(place) {
      const { children } = this.list;
      [...children].forEach((each, at) => each.classList.toggle("is-active", at === place));
      this.active = place;
      if (place < 0) {
        this.input.removeAttribute("aria-activedescendant");
        return;
      }
      this.input.setAttribute("aria-activedescendant", children[place].id);
      children[place].scrollIntoView({ block: "nearest" });
      if (place === children.length - 1) this.askMore();
    }

    press(event) {
      const { length } = this.found;
      const acts = {
        ArrowDown: () => (this.isOpen() && length ? this.mark((this.active + 1) % length) : this.ask()),
        ArrowUp: () => (this.isOpen() && length ? this.mark(this.active > 0 ? this.active - 1 : length - 1) : this.ask()),
        Enter: () => this.active >= 0 && this.choose(this.active),
        Escape: () => {
          this.close();
          this.show();
        },
      };
      if ((event.key === "Enter" || event.key === "Escape") && !this.isOpen()) return;
      if (event.key === "Backspace" && this.several && !this.input.value) {
        const last = this.picked().pop();
        if (!last) return;
        last.selected = false;
        this.changed();
      } else if (acts[event.key] && !event.isComposing) {
        event.preventDefault();
        event.stopPropagation();
        acts[event.key]();
      }
    }
  }

  // Not the hidden row from which new ones are made.
  const enhance = (part) =>
    part.querySelectorAll("select[data-combobox]:not([hidden], [name*=__prefix__])").forEach((each) => new Combobox(each));
  document.addEventListener("DOMContentLoaded", () => enhance(document));
  document.addEventListener("formset:added", (event) => enhance(event.target));
})();

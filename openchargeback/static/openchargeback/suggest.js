// Offers what there is while a name is typed: an input with data-suggest asks that address. Without script the
// form says what does not exist, and what is like it.
(() => {
  "use strict";

  const offer = (input, number) => {
    const list = document.createElement("datalist");
    list.id = `suggest-${number}`;
    input.after(list);
    input.setAttribute("list", list.id);
    input.setAttribute("autocomplete", "off");
    let asked = "";
    let waiting = 0;
    const ask = async () => {
      const text = input.value.trim();
      if (!text || text === asked) return;
      asked = text;
      const address = new URL(input.dataset.suggest, location.href);
      address.searchParams.set("term", text);
      let found;
      try {
        const answer = await fetch(address, { headers: { Accept: "application/json" } });
        if (!answer.ok) return;
        found = await answer.json();
      } catch {
        return;
      }
      if (input.value.trim() !== text) return;
      list.replaceChildren(
        ...found.results.map((each) => {
          const option = document.createElement("option");
          option.value = each.value;
          option.label = each.label;
          return option;
        }),
      );
    };
    input.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(ask, 150);
    });
  };
  // The script stands in the head of the page.
  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("input[data-suggest]").forEach(offer);
  });
})();

// Small helps of the admin, each optional: menus, the choice of a long filter, the field for files.
(() => {
  "use strict";

  // An open menu closes when one goes elsewhere, and by Escape.
  const openMenus = () => document.querySelectorAll("details.menu[open]");
  document.addEventListener("click", (event) => {
    openMenus().forEach((menu) => {
      if (!menu.contains(event.target)) menu.open = false;
    });
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    openMenus().forEach((menu) => {
      menu.open = false;
      menu.querySelector("summary").focus();
    });
  });

  // A menu shows its first choices and scrolls: what is chosen is to be in sight.
  document.querySelectorAll("details.menu").forEach((menu) =>
    menu.addEventListener("toggle", () => {
      if (menu.open) menu.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
    }),
  );

  const size = (bytes) => {
    const units = ["bytes", "KB", "MB", "GB"];
    let unit = 0;
    while (bytes >= 1024 && unit < units.length - 1) {
      bytes /= 1024;
      unit += 1;
    }
    return `${unit ? bytes.toFixed(1) : bytes} ${units[unit]}`;
  };

  document.querySelectorAll("[data-drop]").forEach((zone) => {
    const input = zone.querySelector("input[type=file]");
    const list = zone.querySelector("[data-chosen]");
    const limit = Number(zone.dataset.limit);
    const show = () => {
      let total = 0;
      list.replaceChildren(
        ...[...input.files].map((file) => {
          total += file.size;
          const item = document.createElement("li");
          const name = document.createElement("span");
          const bytes = document.createElement("span");
          name.textContent = file.name;
          bytes.textContent = size(file.size);
          bytes.className = "quiet";
          item.append(name, bytes);
          return item;
        }),
      );
      input.setCustomValidity(limit && total > limit ? `Together at most ${size(limit)}: choose fewer files.` : "");
      input.reportValidity();
    };
    const form = zone.closest("form");
    // Sent as soon as files are chosen; the button is for who has no script.
    form.querySelectorAll("[type=submit]").forEach((each) => (each.hidden = true));
    const chosen = () => {
      show();
      if (input.files.length && form.checkValidity()) form.requestSubmit();
    };
    input.addEventListener("change", chosen);
    ["dragenter", "dragover"].forEach((kind) => zone.addEventListener(kind, () => zone.classList.add("is-over")));
    ["dragleave", "drop"].forEach((kind) => zone.addEventListener(kind, () => zone.classList.remove("is-over")));
    // How much of the files is sent; without script the browser sends the form by itself.
    const sent = zone.querySelector("[data-sent]");
    if (sent) form.addEventListener("submit", (event) => {
      const request = new XMLHttpRequest();
      event.preventDefault();
      request.open("POST", form.action);
      request.setRequestHeader("Accept", "application/json");
      request.upload.addEventListener("progress", (state) => {
        if (state.lengthComputable) sent.value = (100 * state.loaded) / state.total;
      });
      request.addEventListener("load", () => {
        const type = request.getResponseHeader("Content-Type") || "";
        if (type.startsWith("application/json")) {
          location.assign(JSON.parse(request.responseText).url);
          return;
        }
        // The form again, with what is wrong, or a page that says why not.
        document.open();
        document.write(request.responseText);
        document.close();
      });
      request.addEventListener("error", () => {
        sent.hidden = true;
        input.setCustomValidity("The upload was broken off. Try it again.");
        input.reportValidity();
        input.setCustomValidity("");
      });
      sent.hidden = false;
      request.send(new FormData(form));
    });
    // Anywhere on the page: a file that misses the zone would be opened in place of the page.
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      if (event.dataTransfer.files.length) {
        input.files = event.dataTransfer.files;
        chosen();
      }
    });
  });
})();
